//! Which media types are read and written.

use axum::http::{HeaderMap, header};

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

    /// The first representation that the client takes and the server has.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Representation, Status> {
        let accept: Vec<_> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(Media::parse)
            .filter(|media| !media.name.is_empty())
            .collect();
        if accept.is_empty() {
            return Ok(Representation::Whole);
        }
        accept
            .iter()
            .find_map(Media::representation)
            .ok_or_else(|| {
                Status::of_route(
                    Reason::NotAcceptable,
                    "406: Not Acceptable\n\nAvailable representations: application/json, \
                     application/json;stream=watch",
                )
            })
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

    fn accepted(accept: &str) -> Result<Representation, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        Media::accepted(&headers).map_err(|status| status.code)
    }

    #[test]
    fn the_first_known_media_type_is_taken() {
        for (accept, expected) in [
            ("application/json", Ok(Representation::Whole)),
            ("*/*", Ok(Representation::Whole)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Ok(Representation::Table),
            ),
            (
                "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
                Ok(Representation::Whole),
            ),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Ok(Representation::Whole),
            ),
            ("application/vnd.kubernetes.protobuf", Err(406)),
        ] {
            assert_eq!(accepted(accept), expected, "{accept}");
        }
    }
}
