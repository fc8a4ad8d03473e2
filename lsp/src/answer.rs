//! The answers to requests, one module for each feature.

pub(crate) mod action;
pub(crate) mod completion;
pub(crate) mod diagnostic;
pub(crate) mod fold;
pub(crate) mod hint;
pub(crate) mod hover;
pub(crate) mod layout;
pub(crate) mod lens;
pub(crate) mod place;
pub(crate) mod rename;
pub(crate) mod signature;
pub(crate) mod symbol;
pub(crate) mod token;
