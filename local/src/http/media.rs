//! Which media types are read and written.

use axum::http::{HeaderMap, header};

use crate::protobuf;
use crate::status::{Reason, Status};

/// How objects are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Representation {
    #[default]
    Whole,
    /// As rows.
    Table,
    /// Only their metadata.
    Metadata,
    /// A list of groups with all their resources, instead of the groups' names alone.
    AggregatedDiscovery,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Json,
    Protobuf,
}

/// A media type with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) name: String,
    parameters: Vec<(String, String)>,
}

impl Media {
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = parts.filter_map(|part| {
            let (key, value) = part.split_once('=')?;
            Some((key.to_owned(), value.trim_matches('"').to_owned()))
        });
        Self {
            name,
            parameters: parameters.collect(),
        }
    }

    fn parameter(&self, name: &str) -> &str {
        let mut parameters = self.parameters.iter();
        parameters
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The first representation that the client takes and the server has. `protobuf` says whether the objects can be
    /// written as protobuf, which is what they are only if the client does not take JSON.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn accepted(
        headers: &HeaderMap,
        protobuf: bool,
    ) -> Result<(Representation, Encoding), Status> {
        let accept: Vec<_> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(Media::parse)
            .filter(|media| !media.name.is_empty())
            .collect();
        if accept.is_empty() {
            return Ok((Representation::Whole, Encoding::Json));
        }
        let json = accept.iter().find_map(Media::representation);
        if let Some(representation) = json {
            return Ok((representation, Encoding::Json));
        }
        let binary = accept.iter().find_map(|media| media.as_protobuf(protobuf));
        binary
            .map(|representation| (representation, Encoding::Protobuf))
            .ok_or_else(|| {
                let mut message =
                    "406: Not Acceptable\n\nAvailable representations: application/json, \
                     application/json;stream=watch"
                        .to_owned();
                if protobuf {
                    message.push_str(", application/vnd.kubernetes.protobuf");
                }
                Status::of_route(Reason::NotAcceptable, message)
            })
    }

    /// How objects are shown to a client that asks for protobuf: there are no tables in it.
    fn as_protobuf(&self, objects: bool) -> Option<Representation> {
        if self.name != protobuf::MEDIA_TYPE {
            return None;
        }
        match self.parameter("as") {
            "" => objects.then_some(Representation::Whole),
            "PartialObjectMetadata" | "PartialObjectMetadataList"
                if (self.parameter("g"), self.parameter("v")) == ("meta.k8s.io", "v1") =>
            {
                Some(Representation::Metadata)
            }
            _ => None,
        }
    }

    fn representation(&self) -> Option<Representation> {
        if !["application/json", "application/*", "*/*"].contains(&self.name.as_str()) {
            return None;
        }
        let (group, version) = (self.parameter("g"), self.parameter("v"));
        match self.parameter("as") {
            "" => Some(Representation::Whole),
            "Table" if (group, version) == ("meta.k8s.io", "v1") => Some(Representation::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList"
                if (group, version) == ("meta.k8s.io", "v1") =>
            {
                Some(Representation::Metadata)
            }
            "APIGroupDiscoveryList" if (group, version) == ("apidiscovery.k8s.io", "v2") => {
                Some(Representation::AggregatedDiscovery)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str, protobuf: bool) -> Result<(Representation, Encoding), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        Media::accepted(&headers, protobuf).map_err(|status| status.code)
    }

    #[test]
    fn the_first_known_media_type_is_taken() {
        const JSON: Encoding = Encoding::Json;
        for (accept, expected) in [
            ("application/json", Ok((Representation::Whole, JSON))),
            ("*/*", Ok((Representation::Whole, JSON))),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Ok((Representation::Table, JSON)),
            ),
            (
                "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
                Ok((Representation::Whole, JSON)),
            ),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Ok((Representation::Whole, JSON)),
            ),
            (
                "application/vnd.kubernetes.protobuf",
                Ok((Representation::Whole, Encoding::Protobuf)),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Ok((Representation::Metadata, Encoding::Protobuf)),
            ),
            ("application/cbor", Err(406)),
        ] {
            assert_eq!(accepted(accept, true), expected, "{accept}");
        }
        assert_eq!(
            accepted("application/vnd.kubernetes.protobuf", false),
            Err(406)
        );
    }
}
