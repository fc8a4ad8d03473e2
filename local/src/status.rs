//! What a request that failed is answered: a Kubernetes `Status`.

use std::fmt;

use serde_json::{Value, json};

use crate::kind::Kind;

/// Why a request failed, as clients distinguish failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request can't be understood.
    BadRequest,
    /// The request does not say by whom it is, or not truly.
    Unauthorized,
    /// The request is understood, and refused.
    Forbidden,
    /// The object, kind or path does not exist.
    NotFound,
    /// The path exists, and can't do this.
    MethodNotAllowed,
    /// No accepted media type can be answered.
    NotAcceptable,
    /// An object of this name exists.
    AlreadyExists,
    /// The object is not as the request assumes.
    Conflict,
    /// The history does not go back that far.
    Expired,
    /// The precondition of the request is older than the history.
    Gone,
    /// The body is larger than allowed.
    RequestEntityTooLarge,
    /// The body's media type can't be read.
    UnsupportedMediaType,
    /// The object breaks a rule of its kind.
    Invalid,
    /// It would take longer than the request allows.
    Timeout,
    /// This server does not do that.
    NotImplemented,
    /// The server is at fault.
    InternalError,
    /// No other word fits.
    Unknown,
}

impl Reason {
    /// The HTTP status code that goes with it.
    pub fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired | Reason::Gone => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::InternalError | Reason::Unknown => 500,
            Reason::NotImplemented => 501,
            Reason::Timeout => 504,
        }
    }
}

/// One of several things that are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What kind of mistake, such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where, as a path such as `spec.template.spec.containers[0].name`.
    pub field: Option<String>,
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The object's group.
    pub group: String,
    /// The object's kind, or its plural, by the kind of failure.
    pub kind: String,
    /// The object's uid, if the server knows it.
    pub uid: String,
    /// What is wrong, each.
    pub causes: Vec<Cause>,
    /// When another try makes sense.
    pub retry_after_seconds: Option<u32>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// Where a list that broke off can be continued.
    pub continue_token: Option<String>,
}

impl Status {
    /// A failure without details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code: reason.code(),
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    /// A failure that is about no object, in the words of the real server's router.
    pub(crate) fn of_route(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            details: Some(Box::default()),
            ..Self::new(reason, message)
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        let mut status = Self::new(
            Reason::InternalError,
            format!("Internal error occurred: {message}"),
        );
        status.details = Some(Box::new(Details {
            causes: vec![Cause {
                reason: "",
                message: message.to_string(),
                field: None,
            }],
            ..Details::default()
        }));
        status
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::about(
            Reason::NotFound,
            kind,
            name,
            format!("{} \"{name}\" not found", kind.resource),
        )
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::about(
            Reason::AlreadyExists,
            kind,
            name,
            format!("{} \"{name}\" already exists", kind.resource),
        )
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: impl fmt::Display) -> Self {
        Self::about(
            Reason::Forbidden,
            kind,
            name,
            format!("{} \"{name}\" is forbidden: {why}", kind.resource),
        )
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: impl fmt::Display) -> Self {
        Self::about(
            Reason::Conflict,
            kind,
            name,
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {why}",
                kind.resource
            ),
        )
    }

    /// The object was written by someone else since it was read.
    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// An object that breaks rules, each of them a cause.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: Vec<Cause>) -> Self {
        Self::invalid_kind(&kind.group_kind(), kind.group(), &kind.kind, name, causes)
    }

    fn invalid_kind(
        group_kind: &str,
        group: &str,
        kind: &str,
        name: &str,
        causes: Vec<Cause>,
    ) -> Self {
        let mut message = format!("{group_kind} \"{name}\" is invalid");
        let mut lines: Vec<String> = Vec::new();
        for cause in &causes {
            let line = match &cause.field {
                Some(field) => format!("{field}: {}", cause.message),
                None => cause.message.clone(),
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        match lines.as_slice() {
            [] => {}
            [line] => message.push_str(&format!(": {line}")),
            lines => message.push_str(&format!(": [{}]", lines.join(", "))),
        }
        let mut status = Self::new(Reason::Invalid, message);
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        }));
        status
    }

    fn about(reason: Reason, kind: &Kind, name: &str, message: String) -> Self {
        let mut status = Self::new(reason, message);
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: kind.group().to_owned(),
            kind: kind.resource.plural.to_string(),
            ..Details::default()
        }));
        status
    }

    /// Adds a cause to the details.
    pub(crate) fn caused_by(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The object that a client gets.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if self.reason != Reason::Unknown {
            status["reason"] = format!("{:?}", self.reason).into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status["code"] = self.code.into();
        status
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut details = json!({});
        for (key, text) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ] {
            if !text.is_empty() {
                details[key] = text.as_str().into();
            }
        }
        if !self.causes.is_empty() {
            details["causes"] = self.causes.iter().map(Cause::to_value).collect();
        }
        if let Some(seconds) = self.retry_after_seconds {
            details["retryAfterSeconds"] = seconds.into();
        }
        details
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = json!({});
        if !self.reason.is_empty() {
            cause["reason"] = self.reason.into();
        }
        cause["message"] = self.message.as_str().into();
        if let Some(field) = &self.field {
            cause["field"] = field.as_str().into();
        }
        cause
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
