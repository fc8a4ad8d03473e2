//! K0334: a text that Kubernetes does not take here.

use foldhash::HashSet;
use konductor_dsl::{Code, Diagnostic, Span};

use crate::eval::Values;
use crate::name::{is_label_value, is_qualified, is_subdomain};
use crate::pipeline::{Pipeline, Place, Text};
use crate::plan::varies;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    LabelValue,
    /// The name of an object in the cluster.
    Name,
    /// A key of a Secret or a ConfigMap.
    Key,
    TaintKey,
}

/// Reports texts of stages and workspaces that an API server or a kubelet would refuse, with the values
/// of this run.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported: HashSet<(Span, String)> = HashSet::default();
    let mut look = |text: &Text, kind: Kind, values: Values<'_>| {
        let Some(value) = values.text(text) else {
            return;
        };
        if !kind.takes(&value) && reported.insert((text.span, value.clone())) {
            let is_written = text.plain().is_some();
            let mut diagnostic = report(text.span, kind, (!is_written).then_some(&value));
            if let Some((scheme, _)) = value.split_once("://").filter(|_| kind == Kind::Image) {
                diagnostic = diagnostic.help(format!(
                    "remove `{scheme}://`: an image is written `registry/name:tag`"
                ));
            }
            if text.plain().is_some_and(|text| text.contains(['$', '{'])) {
                diagnostic = diagnostic.help("write the value of a parameter as `${NAME}`");
            }
            diagnostics.push(diagnostic);
        }
    };
    for workspace in &pipeline.workspaces {
        if let Some(text) = &workspace.storage_class {
            look(text, Kind::Name, Values::of(pipeline));
        }
    }
    for stage in &pipeline.stages {
        let texts = stage.body.texts();
        let texts = texts.filter_map(|(place, text)| Some((text, kind_of(place)?)));
        let yaml = stage.body.passthrough.iter();
        let images = yaml.flat_map(|block| block.images.iter().map(|text| (text, Kind::Image)));
        for (text, kind) in texts.chain(images) {
            if !varies::of_text(text) {
                look(text, kind, Values::of(pipeline));
                continue;
            }
            for item in stage.items.iter().flatten() {
                let values = Values {
                    params: &pipeline.params,
                    item: &item.values,
                };
                look(text, kind, values);
            }
        }
    }
}

/// What Kubernetes takes a text for; `None` where it takes any.
fn kind_of(place: Place) -> Option<Kind> {
    match place {
        Place::Image => Some(Kind::Image),
        Place::ServiceAccount | Place::PriorityClass => Some(Kind::Name),
        Place::Queue | Place::Label | Place::NodeSelector | Place::TaintValue => {
            Some(Kind::LabelValue)
        }
        Place::TaintKey => Some(Kind::TaintKey),
        Place::Script | Place::Argument | Place::Variable | Place::Annotation => None,
    }
}

/// Reports a text that Kubernetes does not take in its place; `value` is what it becomes, unless it is written so.
pub(crate) fn report(span: Span, kind: Kind, value: Option<&String>) -> Diagnostic {
    const SHOWN_MAX: usize = 80;
    let message = match kind {
        Kind::Image => "this is not the reference of an image",
        Kind::LabelValue => "Kubernetes does not take this as a label's value",
        Kind::Name => "this can't be the name of an object",
        Kind::Key => "this can't be a key of a Secret or a ConfigMap",
        Kind::TaintKey => "this can't be the key of a taint",
    };
    let help = match kind {
        Kind::Image => {
            "write `registry/name:tag` or `name@sha256:…`, in lower case, without blanks"
        }
        Kind::LabelValue => {
            "use letters, digits, `-`, `_` and `.`, at most 63; an annotation takes any text"
        }
        Kind::Name => "use lower-case letters, digits, `-` and `.`",
        Kind::Key => "use letters, digits, `-`, `_` and `.`",
        Kind::TaintKey => "write `name` or `domain/name`: letters, digits, `-`, `_` and `.`",
    };
    let diagnostic = Diagnostic::error(Code::K0334, span, message).help(help);
    match value {
        Some(value) => {
            let shown: String = value.chars().take(SHOWN_MAX).collect();
            diagnostic.here(format!("it is {shown:?} in this run"))
        }
        None => diagnostic,
    }
}

impl Kind {
    /// Whether a text is what it is for.
    pub(crate) fn takes(self, text: &str) -> bool {
        match self {
            Self::Image => is_image(text),
            Self::LabelValue => is_label_value(text),
            Self::Name => is_subdomain(text),
            Self::Key => {
                let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                (1..=253).contains(&text.len())
                    && text.bytes().all(is_plain)
                    && !text.starts_with("..")
                    && text != "."
            }
            Self::TaintKey => match text.split_once('/') {
                Some((prefix, name)) => is_subdomain(prefix) && is_qualified(name),
                None => is_qualified(text),
            },
        }
    }
}

/// The reference of an image, as registries and runtimes know it:
/// `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
fn is_image(text: &str) -> bool {
    const NAME_MAX: usize = 255;
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let path = rest.rsplit('/').next().unwrap_or(rest);
    let (name, tag) = match path.rsplit_once(':') {
        Some((_, tag)) => (
            rest.get(..rest.len() - tag.len() - ":".len())
                .unwrap_or_default(),
            Some(tag),
        ),
        None => (rest, None),
    };
    let mut parts: Vec<&str> = name.split('/').collect();
    // Only a host has a dot, a port or capitals before the first slash.
    let is_host = |part: &str| {
        part == "localhost"
            || part.contains(['.', ':'])
            || part.bytes().any(|b| b.is_ascii_uppercase())
    };
    let host = (parts.len() > 1 && is_host(parts[0])).then(|| parts.remove(0));
    name.len() <= NAME_MAX
        && host.is_none_or(is_registry)
        && parts.into_iter().all(is_path_part)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // The brackets of an IPv6 address have colons of their own.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_name = |part: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(is_plain)
    };
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_right = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(is_name),
    };
    is_right && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_path_part(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_sign =
        |sign: &str| matches!(sign, "" | "." | "_" | "__") || sign.bytes().all(|byte| byte == b'-');
    part.starts_with(is_plain) && part.ends_with(is_plain) && part.split(is_plain).all(is_sign)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| is_word(b) || b"-.".contains(&b))
        && tag.bytes().next().is_some_and(is_word)
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"+._-".contains(&b);
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.bytes().all(is_plain)
            && hex.len() >= 32
            && (algorithm != "sha256" || hex.len() == 64)
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_are_those_that_runtimes_read() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let right = [
            "busybox",
            "busybox:1.36",
            "acme/etl:1.4",
            "localhost/a",
            "localhost:5000/a/b:c",
            "ghcr.io/acme/etl-flows:1.4_x",
            "a.b:443/c__d/e--f.g_h:T",
            "Registry/a:1",
            "[::1]:5000/a:1",
            "a/b:latest",
            "k8s.gcr.io/pause:3.9",
            "3.14",
        ];
        for image in right {
            assert!(is_image(image), "{image}");
            assert!(is_image(&format!("{image}@{digest}")), "{image}@");
        }
        let wrong = [
            "",
            "-h",
            "--privileged",
            " busybox",
            "busybox ",
            "busy box",
            "Busybox",
            "acme/ETL:1",
            "a:",
            "a:b:c",
            "/a",
            "a/",
            "a//b",
            "a@",
            "a@sha256:12",
            "https://a.b/c",
            "a:ta g",
            "a:-x",
            "a_.b",
            "-a/b",
            "a.b:x/c",
            "a\n",
            "a;b",
            "$(x)",
            "a/../b",
            "[::1/a",
            "ä",
        ];
        for image in wrong {
            assert!(!is_image(image), "{image:?}");
        }
    }

    #[test]
    fn names_keys_and_labels_are_those_that_an_api_server_takes() {
        let long = "x".repeat(64);
        let table = [
            (Kind::LabelValue, "", true),
            (Kind::LabelValue, "LI_15.70", true),
            (Kind::LabelValue, "LI 1570", false),
            (Kind::LabelValue, "-a", false),
            (Kind::LabelValue, &long, false),
            (Kind::Name, "etl.runner-1", true),
            (Kind::Name, "Etl", false),
            (Kind::Name, "a..b", false),
            (Kind::Name, "a_b", false),
            (Kind::Name, "", false),
            (Kind::Key, "tls.key", true),
            (Kind::Key, "._K", true),
            (Kind::Key, "a/b", false),
            (Kind::Key, ".", false),
            (Kind::Key, "..x", false),
            (Kind::Key, "", false),
            (Kind::TaintKey, "nvidia.com/gpu", true),
            (Kind::TaintKey, "gpu", true),
            (Kind::TaintKey, "a/b/c", false),
            (Kind::TaintKey, "", false),
        ];
        for (kind, text, expected) in table {
            assert_eq!(kind.takes(text), expected, "{kind:?} {text:?}");
        }
    }
}
