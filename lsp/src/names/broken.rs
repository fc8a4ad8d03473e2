//! The declarations of a file that can't be read as a whole, by their words.
//!
//! What enters: any text. What leaves: what looks like a declaration. What must never happen here: a need for
//! the text to be right. A string that is not closed may hide the rest of a file, so its lines are looked at
//! as if it was not there.

use konductor_dsl::{Source, Span, Token, TokenKind, ast, is_name, tokens};

use super::Kind;

/// The declarations of a text, in source order.
pub(super) fn declarations(source: &Source) -> Vec<(Kind, ast::Name)> {
    let text = &*source.text;
    let mut declarations = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..) {
        let mut before: [Option<Token>; 2] = [None, None];
        let mut hidden = None;
        for token in tokens(rest) {
            if token.kind == TokenKind::Unclosed {
                hidden = Some(token);
            }
            if let Some(kind) = declared(rest, before, token) {
                let at = |offset: usize| u32::try_from(start + offset).unwrap_or(u32::MAX);
                let span = Span {
                    source: source.id,
                    start: at(token.start),
                    end: at(token.end),
                };
                let text = token.text(rest).to_owned();
                declarations.push((kind, ast::Name { text, span }));
            }
            before = [before[1], Some(token)];
        }
        // Behind the first line of what is not closed, if it took more than that.
        let hidden = hidden.filter(|token| token.end == rest.len());
        let line = hidden.and_then(|token| Some((token, rest.get(token.start..)?.find('\n')?)));
        let Some((token, line)) = line else { break };
        start += token.start + line + 1;
    }
    declarations
}

/// What a token is the name of, by the two before it.
fn declared(text: &str, before: [Option<Token>; 2], token: Token) -> Option<Kind> {
    let [outer, Some(word)] = before else {
        return None;
    };
    // `after stage` and `"…" stage` begin nothing.
    let begins = word.first_at.is_some()
        || outer.is_none_or(|outer| matches!(outer.text(text), "{" | "}" | "," | "finally"));
    let kind = match word.text(text) {
        "pipeline" => Kind::Pipeline,
        "template" => Kind::Template,
        "param" => Kind::Param,
        "stage" => Kind::Stage,
        "approval" => Kind::Approval,
        "semaphore" => Kind::Semaphore,
        "lease" => Kind::Lease,
        "workspace" => Kind::Workspace,
        _ => return None,
    };
    let is_named = token.kind == TokenKind::Word && is_name(token.text(text));
    (begins && is_named).then_some(kind)
}

#[cfg(test)]
mod tests {
    use konductor_dsl::Sources;

    use super::*;

    #[test]
    fn declarations_are_found_in_any_text() {
        let table: [(&str, &[&str]); 7] = [
            (
                "pipeline p {\n  stage a {\n    run = \"\n  }\n  stage b after a\n",
                &["p", "a", "b"],
            ),
            (
                "pipeline p {\n  stage a {\n    run = \"\"\"\n  }\n  stage b after a {\n}",
                &["p", "a", "b"],
            ),
            (
                "pipeline p { stage a { } stage b, param c: , lease l }",
                &["p", "a", "b", "c", "l"],
            ),
            ("finally stage f {{{{", &["f"]),
            ("template t(\npipeline p {", &["t", "p"]),
            ("stage Stage\nstage run\nstage \"a\"\nx = stage", &[]),
            ("run = \"\"\"\n  stage inside\n\"\"\" # stage comment", &[]),
        ];
        for (text, expected) in table {
            let mut sources = Sources::default();
            sources.add("a.kon", text);
            let source = sources.iter().next().expect("the file");
            let declarations = declarations(source);
            let names: Vec<&str> = declarations.iter().map(|(_, name)| &*name.text).collect();
            assert_eq!(names, expected, "{text}");
            for (_, name) in &declarations {
                assert_eq!(source.slice(name.span), name.text);
            }
        }
    }
}
