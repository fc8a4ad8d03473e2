//! Resolves, checks and lowers a pipeline to Kubernetes objects.
