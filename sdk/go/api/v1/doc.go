// Package v1 holds the custom resources of konductor.io/v1 as Go types.
//
// The types, their comments and their copies are generated from the schemas of the
// CustomResourceDefinitions, so they are what the API server checks.
package v1

//go:generate go run ../../internal/generate -out zz_generated.go
