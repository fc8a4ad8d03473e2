//! What depends on the item of a fan-out.
//!
//! What enters: parts of a resolved stage. What leaves: whether their value can differ from one item to
//! the next. What must never happen here: a `_` in a match, because what is forgotten here gets the same
//! value for all items.

use konductor_dsl::Span;

use crate::pipeline::{
    Body, Dependency, Expr, Node, Part, Passthrough, Piece, Setting, Source, Stage, Target, Term,
    Text,
};

/// Whether one Indexed Job does what a Job for each item would: nothing but the index itself, in the
/// container's own program, depends on the item, and nothing asks for a single item.
pub(crate) fn can_be_indexed(stage: &Stage) -> bool {
    let Stage {
        name: _,
        // Both kinds of stages can be.
        finally: _,
        loops,
        items: _,
        // Whoever writes its list, it is Indexed in any case.
        list: _,
        parallel: _,
        after,
        when,
        holding,
        quorum,
        body,
    } = stage;
    let [only] = loops.as_slice() else {
        return false;
    };
    only.counts_from_zero
        && holding.is_empty()
        && quorum.is_none()
        && when.is_none()
        && body.outputs.is_empty()
        && !after.iter().any(of_dependency)
        && !body.parts().any(|part| needs_a_job(&part))
}

/// Whether a part has a value that only a Job of the item's own can have. The kubelet fills the index of
/// an Indexed Job into the program, but it can't choose an output by it.
fn needs_a_job(part: &Part<'_>) -> bool {
    match part {
        Part::Text(place, text) if place.is_of_program() => {
            text.references().any(|r| reads_by_item(&r.source))
        }
        Part::Text(..) | Part::Setting(_) | Part::Yaml(_) => of_part(part),
    }
}

/// Where a part needs an item before a pod starts, if it does.
pub(crate) fn place_before_start(part: &Part<'_>) -> Option<Span> {
    if !needs_a_job(part) {
        return None;
    }
    Some(match part {
        Part::Text(place, text) => {
            let is_program = place.is_of_program();
            let mut references = text.references();
            let guilty = references.find(|reference| match is_program {
                true => reads_by_item(&reference.source),
                false => of_source(&reference.source),
            });
            guilty.map_or(text.span, |reference| reference.span)
        }
        Part::Setting(setting) => setting.span,
        Part::Yaml(block) => block.span,
    })
}

/// Where a condition names the item, if it does.
pub(crate) fn place_in_expr(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::Or(parts) | Expr::And(parts) => parts.iter().find_map(place_in_expr),
        Expr::Not(inner) => place_in_expr(inner),
        Expr::Bool(term) => place_in_term(term),
        Expr::Compare {
            operator: _,
            left,
            right,
        } => place_in_term(left).or_else(|| place_in_term(right)),
    }
}

fn place_in_term(term: &Term) -> Option<Span> {
    match term {
        Term::Reference(reference) => of_source(&reference.source).then_some(reference.span),
        Term::Text(text) => {
            let mut references = text.references();
            let guilty = references.find(|reference| of_source(&reference.source));
            guilty.map(|reference| reference.span)
        }
        Term::List(terms) => terms.iter().find_map(place_in_term),
        Term::Value(_) | Term::Every | Term::Unknown => None,
    }
}

/// Whether a source is an output, and which output depends on the item.
fn reads_by_item(source: &Source) -> bool {
    match source {
        Source::Output { .. } => of_source(source),
        Source::Argument { value, .. } => match value.as_ref() {
            Term::Reference(reference) => reads_by_item(&reference.source),
            Term::Text(text) => text.references().any(|r| reads_by_item(&r.source)),
            Term::List(_) => of_term(value),
            Term::Value(_) | Term::Every | Term::Unknown => false,
        },
        Source::Constant { .. }
        | Source::Param { .. }
        | Source::Loop { .. }
        | Source::OwnOutput { .. }
        | Source::Token { .. }
        | Source::Workspace { .. }
        | Source::RunOutcome => false,
    }
}

/// A body for a Job that stands for no item and never starts: without what depends on one.
pub(crate) fn without_item(body: Body) -> Body {
    /// Kubernetes wants an image, of a Job that never starts, too.
    const NO_IMAGE: &str = "none";
    let Body {
        action,
        shell,
        image,
        env,
        outputs,
        retries,
        timeout,
        pending,
        may_fail,
        cpu,
        memory,
        security,
        mounts,
        service_account,
        priority_class,
        queue,
        mut labels,
        mut annotations,
        mut node_selector,
        mut tolerations,
        mut passthrough,
    } = body;
    let constant = |text: &Text| !of_text(text);
    let setting = |setting: Option<Setting>| setting.filter(|setting| !of_term(&setting.term));
    let image = image.map(|text| match constant(&text) {
        true => text,
        false => Text {
            pieces: vec![Piece::Literal(NO_IMAGE.to_owned())],
            span: text.span,
        },
    });
    for entries in [&mut labels, &mut annotations, &mut node_selector] {
        entries.retain(constant);
    }
    if let Some(tolerations) = &mut tolerations {
        tolerations.retain(|toleration| toleration.texts().all(|(_, text)| constant(text)));
    }
    passthrough.retain(|block| !of_part(&Part::Yaml(block)));
    Body {
        action,
        shell,
        image,
        env,
        outputs,
        retries: setting(retries),
        timeout: setting(timeout),
        pending: setting(pending),
        may_fail: setting(may_fail),
        cpu: setting(cpu),
        memory: setting(memory),
        security: setting(security),
        mounts,
        service_account: service_account.filter(constant),
        priority_class: priority_class.filter(constant),
        queue: queue.filter(constant),
        labels,
        annotations,
        node_selector,
        tolerations,
        passthrough,
    }
}

/// Whether a part of a body depends on the item.
pub(crate) fn of_part(part: &Part<'_>) -> bool {
    match part {
        Part::Text(_, text) => of_text(text),
        Part::Setting(Setting { term, span: _ }) => of_term(term),
        Part::Yaml(Passthrough { root, .. }) => of_node(root),
    }
}

fn of_node(node: &Node) -> bool {
    match node {
        Node::Json(_) => false,
        Node::Text { text, leaf: _ } => of_text(text),
        Node::List(nodes) => nodes.iter().any(of_node),
        Node::Map(members) => members.iter().any(|(_, node)| of_node(node)),
    }
}

/// Whether what a dependency waits for depends on the item.
pub(crate) fn of_dependency(dependency: &Dependency) -> bool {
    match &dependency.target {
        Target::Stage { stage: _, address } => address.iter().flatten().any(of_term),
        Target::Any(parts) => parts.iter().any(of_dependency),
        Target::Approval(_) | Target::Outside(_) => false,
    }
}

/// Whether a condition depends on the item.
pub(crate) fn of_expr(expr: &Expr) -> bool {
    match expr {
        Expr::Or(parts) | Expr::And(parts) => parts.iter().any(of_expr),
        Expr::Not(inner) => of_expr(inner),
        Expr::Bool(term) => of_term(term),
        Expr::Compare {
            operator: _,
            left,
            right,
        } => of_term(left) || of_term(right),
    }
}

/// Whether a term depends on the item.
pub(crate) fn of_term(term: &Term) -> bool {
    match term {
        Term::Value(_) | Term::Every | Term::Unknown => false,
        Term::Reference(reference) => of_source(&reference.source),
        Term::Text(text) => of_text(text),
        Term::List(terms) => terms.iter().any(of_term),
    }
}

/// Whether a text depends on the item.
pub(crate) fn of_text(text: &Text) -> bool {
    text.references()
        .any(|reference| of_source(&reference.source))
}

/// Whether a reference depends on the item.
pub(crate) fn of_source(source: &Source) -> bool {
    match source {
        Source::Loop { .. } => true,
        Source::Output { address, .. } => address.iter().any(of_term),
        Source::Argument { value, .. } => of_term(value),
        Source::Constant { .. }
        | Source::Param { .. }
        | Source::OwnOutput { .. }
        | Source::Token { .. }
        | Source::Workspace { .. }
        | Source::RunOutcome => false,
    }
}

#[cfg(test)]
mod tests;
