//! Passthrough: YAML that is merged into a Job, checked against the schema of Kubernetes.
//!
//! The text is parsed with a mark for each `${…}`, and values are put in afterwards: no value can
//! change what the YAML says.

use std::sync::LazyLock;

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::schemars::SchemaGenerator;
use konductor_dsl::{Span, ast};
use serde_json::Value as Json;
use serde_saphyr::{Location, Spanned};

use super::{Resolver, Scope, Time};
use crate::pipeline::{Leaf, Node, Passthrough, Piece, Reference, Text};
use crate::placed::{self, Kind, Placed};
use crate::rules;
use crate::value::Type;

/// Around the number of a hole, while the YAML is parsed: characters for private use, which stand
/// for nothing.
const MARKS: (char, char) = ('\u{e000}', '\u{e001}');

/// What Kubernetes takes: of a PodSpec, and of a Job from `spec:` down. Made when it is first needed.
static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    let pod = generator.subschema_for::<PodSpec>().to_value();
    let spec = generator.subschema_for::<JobSpec>().to_value();
    let definitions = generator.take_definitions(true);
    serde_json::json!({
        "properties": {
            "pod": pod,
            "job": {"type": "object", "properties": {"spec": spec}},
        },
        "$defs": definitions,
    })
});

/// A field of Kubernetes that a `pod` or `job` block can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeField {
    /// Its name.
    pub name: &'static str,
    /// The type of its value: JSON's word for it.
    pub shape: &'static str,
    /// What Kubernetes says about it.
    pub meaning: &'static str,
}

/// The fields that a map in a `pod` or `job` block can have, by the keys around it; lists leave no trace in
/// the path.
pub fn kube_fields(kind: ast::YamlKind, path: &[String]) -> Vec<KubeField> {
    let (mut schema, mut prefix) = (whole(kind).0, whole(kind).1.to_owned());
    for key in path {
        schema = resolved(schema).0;
        let properties = schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        let Some(inner) = properties.or_else(|| schema.get("additionalProperties")) else {
            return Vec::new();
        };
        schema = resolved(inner).0;
        while let Some(item) = schema.get("items") {
            schema = resolved(item).0;
        }
        prefix = format!("{prefix}.{key}");
    }
    let properties = resolved(schema).0.get("properties");
    let properties = properties.and_then(Json::as_object).into_iter().flatten();
    let text = |schema: &'static Json, key: &str| schema.get(key).and_then(Json::as_str);
    let fields = properties.map(|(name, schema)| KubeField {
        name,
        shape: text(resolved(schema).0, "type").unwrap_or("any"),
        meaning: text(schema, "description").unwrap_or_default(),
    });
    let is_free = |field: &KubeField| {
        let inner = format!("{prefix}.{}", field.name);
        owned(inner.trim_start_matches('.'), field.name, &[]).is_none()
    };
    fields.filter(is_free).collect()
}

/// The schema of a whole block, and the path of its first fields in a Job.
fn whole(kind: ast::YamlKind) -> (&'static Json, &'static str) {
    match kind {
        ast::YamlKind::Job => (&SCHEMA["properties"]["job"], ""),
        ast::YamlKind::Pod => (&SCHEMA["properties"]["pod"], "spec.template.spec"),
    }
}

impl Resolver<'_> {
    /// Reads and checks `pod """…"""` or `job """…"""`.
    pub(super) fn passthrough(
        &mut self,
        kind: ast::YamlKind,
        text: &ast::Str,
        scope: Scope<'_>,
    ) -> Option<Passthrough> {
        let marked = self.marked(text, scope)?;
        let root = match placed::parse(&marked.yaml) {
            Ok(root) => root,
            Err(error) => {
                let span = error.at.map_or(text.span, |at| marked.place(at));
                self.report(error.report(span));
                return None;
            }
        };
        let (whole, path) = whole(kind);
        let reported = self.diagnostics.len();
        let mut walk = Walk {
            marked: &marked,
            resolver: self,
            parallelism: None,
            images: Vec::new(),
        };
        let root = walk.node(&root, whole, path, text.span);
        let Walk {
            parallelism,
            images,
            ..
        } = walk;
        (self.diagnostics.len() == reported).then_some(Passthrough {
            kind,
            root,
            span: text.span,
            parallelism,
            images,
        })
    }

    fn marked(&mut self, ast: &ast::Str, scope: Scope<'_>) -> Option<Marked> {
        let mut marked = Marked {
            yaml: String::new(),
            places: Vec::new(),
            holes: Vec::new(),
        };
        let mut complete = true;
        for part in &ast.parts {
            let start = marked.yaml.len();
            let span = match part {
                ast::Part::Text { text, span } => {
                    if has_marks(text) {
                        let problem = "characters for private use have no place in YAML";
                        self.report(rules::yaml::report(*span, problem));
                        complete = false;
                    }
                    marked.yaml.push_str(text);
                    *span
                }
                ast::Part::Shell(span) => {
                    marked.yaml.push_str("${");
                    *span
                }
                ast::Part::Hole(reference, span) => {
                    match self.reference(reference, scope, Time::Compile) {
                        Some(reference) => {
                            let number = marked.holes.len();
                            marked
                                .yaml
                                .push_str(&format!("{}{number}{}", MARKS.0, MARKS.1));
                            marked.holes.push(*reference);
                        }
                        None => complete = false,
                    }
                    *span
                }
            };
            marked.places.push((start, span));
        }
        complete.then_some(marked)
    }
}

/// Whether a text has a mark, or an escape that the reader of YAML may turn into one.
fn has_marks(text: &str) -> bool {
    const ESCAPES: [&str; 4] = ["\\ue000", "\\ue001", "\\u0000e000", "\\u0000e001"];
    if text.contains([MARKS.0, MARKS.1]) {
        return true;
    }
    let text = text.to_ascii_lowercase();
    ESCAPES.iter().any(|escape| text.contains(escape))
}

/// YAML with marks in place of holes, and where its parts come from.
struct Marked {
    yaml: String,
    /// Where a part begins in the YAML, and where it is in the source.
    places: Vec<(usize, Span)>,
    holes: Vec<Reference>,
}

impl Marked {
    /// The place in the source.
    fn place(&self, at: Location) -> Span {
        let Some(range) = placed::range(&self.yaml, at) else {
            let first = self.places.first().map(|(_, span)| *span);
            return first.unwrap_or_default();
        };
        let from = self.source(range.start);
        Span {
            end: self.source(range.end).end.max(from.start + 1),
            ..from
        }
    }

    /// Where one byte of the YAML comes from: an empty span.
    fn source(&self, offset: usize) -> Span {
        let part = self
            .places
            .partition_point(|(start, _)| *start <= offset)
            .saturating_sub(1);
        let Some((start, span)) = self.places.get(part).copied() else {
            return Span::default();
        };
        let inside = u32::try_from(offset - start.min(offset)).unwrap_or(u32::MAX);
        let at = span.start.saturating_add(inside).min(span.end);
        Span {
            start: at,
            end: at,
            ..span
        }
    }

    /// A scalar's text with its holes.
    fn text(&self, scalar: &str, span: Span) -> Text {
        let mut pieces = Vec::new();
        let mut rest = scalar;
        while let Some((before, behind)) = rest.split_once(MARKS.0) {
            let Some((number, after)) = behind.split_once(MARKS.1) else {
                break;
            };
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            let hole = number
                .parse::<usize>()
                .ok()
                .and_then(|number| self.holes.get(number));
            pieces.extend(hole.cloned().map(|hole| Piece::Reference(Box::new(hole))));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Text { pieces, span }
    }
}

/// A walk through YAML and its schema at once.
struct Walk<'w, 'r, 'a> {
    marked: &'w Marked,
    resolver: &'r mut Resolver<'a>,
    parallelism: Option<Span>,
    images: Vec<Text>,
}

impl Walk<'_, '_, '_> {
    /// Checks a node and reports its errors; a node with errors is not used.
    fn node(&mut self, parsed: &Placed, schema: &'static Json, path: &str, at: Span) -> Node {
        let (schema, name) = resolved(schema);
        let schema_type = schema.get("type").and_then(Json::as_str);
        match (&parsed.value, schema_type) {
            (Kind::Map(members), Some("object") | None) => {
                self.map(members, schema, name, path, at)
            }
            (Kind::List(items), Some("array")) => {
                let item = schema.get("items").unwrap_or(&Json::Null);
                let items = items.iter().map(|parsed| {
                    let at = self.marked.place(parsed.place);
                    self.node(parsed, item, path, at)
                });
                Node::List(items.collect())
            }
            (Kind::Map(_) | Kind::List(_) | Kind::Null, _) => {
                self.wrong(at, schema_type);
                Node::Json(Json::Null)
            }
            (_, schema_type) => {
                let is_quantity = name.ends_with("resource.Quantity");
                let span = self.marked.place(parsed.place);
                self.scalar(&parsed.value, schema_type, is_quantity, span)
            }
        }
    }

    fn map(
        &mut self,
        members: &[(Spanned<String>, Placed)],
        schema: &'static Json,
        name: &str,
        path: &str,
        at: Span,
    ) -> Node {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        if is_container(name) {
            self.variables(members);
        }
        let mut node = Vec::with_capacity(members.len());
        for (key, value) in members {
            let span = self.marked.place(key.referenced);
            if key.value.contains(MARKS.0) {
                self.resolver.report(rules::interpolated_key::report(span));
                continue;
            }
            let inner = format!("{path}.{}", key.value);
            let inner = inner.trim_start_matches('.');
            if let Some(problem) = owned(inner, &key.value, members) {
                self.resolver
                    .report(rules::owned_field::report(span, &key.value, problem));
                continue;
            }
            if inner == "spec.parallelism" {
                self.parallelism = Some(span);
            }
            if let (true, Kind::Text(image)) = (is_image(name, &key.value), &value.value) {
                let place = self.marked.place(value.place);
                self.images.push(self.marked.text(image, place));
            }
            let field_schema = properties
                .and_then(|properties| properties.get(&key.value))
                .or(others);
            match (field_schema, properties) {
                (Some(field_schema), _) => {
                    node.push((
                        key.value.clone(),
                        self.node(value, field_schema, inner, span),
                    ));
                }
                (None, Some(properties)) => {
                    let fields: Vec<&str> = properties.keys().map(String::as_str).collect();
                    let diagnostic = rules::unknown_kube_field::report(span, &key.value, &fields);
                    self.resolver.report(diagnostic);
                }
                (None, None) => node.push((
                    key.value.clone(),
                    self.node(value, &Json::Null, inner, span),
                )),
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for field in required.into_iter().flatten().filter_map(Json::as_str) {
            let is_merged = matches!((name, field), ("io.k8s.api.core.v1.PodSpec", "containers"));
            if !is_merged && path != "spec" && members.iter().all(|(key, _)| key.value != field) {
                self.resolver.report(rules::kube_value::missing(at, field));
            }
        }
        Node::Map(node)
    }

    /// Refuses variables of the stage's container that somebody else sets. How other containers use these names is their
    /// own affair.
    fn variables(&mut self, container: &[(Spanned<String>, Placed)]) {
        if !is_main(container) {
            return;
        }
        let Some(Kind::List(variables)) = member(container, "env").map(|env| &env.value) else {
            return;
        };
        for variable in variables {
            let Kind::Map(members) = &variable.value else {
                continue;
            };
            if let Some((name, place)) = text(members, "name") {
                let taken = rules::bad_key::taken(name, self.marked.place(place));
                self.resolver.diagnostics.extend(taken);
            }
        }
    }

    fn scalar(
        &mut self,
        value: &Kind,
        schema_type: Option<&str>,
        quantity: bool,
        span: Span,
    ) -> Node {
        match (value, schema_type) {
            (Kind::Text(text), _) if text.contains(MARKS.0) => {
                let text = self.marked.text(text, span);
                match self.leaf(&text, schema_type) {
                    Some(leaf) => return Node::Text { text, leaf },
                    None => self.wrong(span, schema_type),
                }
            }
            (Kind::Text(text), Some("string") | None) => return Node::Json(text.clone().into()),
            (Kind::Number(number), Some("string")) if quantity => {
                return Node::Json(number.to_string().into());
            }
            (Kind::Number(number), Some("integer")) if number.is_i64() => {
                return Node::Json(number.clone().into());
            }
            (Kind::Number(number), Some("number") | None) => {
                return Node::Json(number.clone().into());
            }
            (Kind::Bool(value), Some("boolean") | None) => return Node::Json((*value).into()),
            _ => self.wrong(span, schema_type),
        }
        Node::Json(Json::Null)
    }

    /// What a text with holes becomes, by the field that it is for.
    fn leaf(&self, text: &Text, schema_type: Option<&str>) -> Option<Leaf> {
        let only = match text.pieces.as_slice() {
            [Piece::Reference(reference)] => Some(&reference.ty),
            _ => None,
        };
        match (schema_type, only) {
            (Some("string") | None, _) => Some(Leaf::Text),
            (Some("integer" | "number"), Some(Type::Int(_))) => Some(Leaf::Number),
            (Some("boolean"), Some(Type::Bool)) => Some(Leaf::Bool),
            _ => None,
        }
    }

    fn wrong(&mut self, span: Span, schema_type: Option<&str>) {
        self.resolver.report(rules::kube_value::wrong(
            span,
            schema_type.unwrap_or("scalar"),
        ));
    }
}

/// A schema behind its reference, and the name it has there.
fn resolved(schema: &'static Json) -> (&'static Json, &'static str) {
    let reference = schema.get("$ref").and_then(Json::as_str);
    let name = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
    let definition = name.and_then(|name| Some((SCHEMA["$defs"].get(name)?, name)));
    definition.unwrap_or((schema, ""))
}

/// Why a field can't be set: the compiler sets it.
fn owned(path: &str, key: &str, siblings: &[(Spanned<String>, Placed)]) -> Option<&'static str> {
    match path {
        "spec.suspend" => Some("it says whether the stage has started"),
        "spec.ttlSecondsAfterFinished" => Some("use `keep` of the pipeline"),
        "spec.selector" | "spec.manualSelector" => Some("the Job controller chooses its own"),
        "spec.podReplacementPolicy" => Some("it keeps permits from being free too early"),
        "spec.template.spec.containers.terminationMessagePath" if is_main(siblings) => {
            Some("outputs are read from there")
        }
        _ if is_ours(key) => Some("it carries what the operator needs"),
        _ => None,
    }
}

/// What a key of a map has.
fn member<'m>(members: &'m [(Spanned<String>, Placed)], key: &str) -> Option<&'m Placed> {
    let mut members = members.iter();
    let (_, value) = members.find(|(name, _)| name.value == key)?;
    Some(value)
}

/// The text that a key of a map has, and where it is.
fn text<'m>(members: &'m [(Spanned<String>, Placed)], key: &str) -> Option<(&'m str, Location)> {
    let value = member(members, key)?;
    match &value.value {
        Kind::Text(text) => Some((text, value.place)),
        _ => None,
    }
}

/// Whether a container is called as the stage's own.
fn is_main(container: &[(Spanned<String>, Placed)]) -> bool {
    text(container, "name").is_some_and(|(name, _)| name == "main")
}

/// Whether a type of Kubernetes is a container.
fn is_container(type_name: &str) -> bool {
    type_name.rsplit('.').next() == Some("Container")
}

/// Whether a field of a type of Kubernetes names an image.
fn is_image(type_name: &str, field: &str) -> bool {
    let type_name = type_name.rsplit('.').next().unwrap_or(type_name);
    matches!(
        (type_name, field),
        ("Container" | "EphemeralContainer", "image") | ("ImageVolumeSource", "reference")
    )
}

fn is_ours(key: &str) -> bool {
    key.split_once('/').is_some_and(|(prefix, _)| {
        prefix == konductor_api::GROUP || prefix.ends_with(".konductor.io")
    })
}
