package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTheGeneratedTypesAreFresh(t *testing.T) {
	crds, err := printCRDs()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := generate(bytes.NewReader(crds))
	if err != nil {
		t.Fatal(err)
	}
	checkedIn, err := os.ReadFile("../../api/v1/zz_generated.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, checkedIn) {
		t.Fatal("api/v1 is stale: run `go generate ./...`, and read the diff")
	}
}

func TestAShapeWithoutAGoTypeIsRefusedByItsPath(t *testing.T) {
	crds := `{"items": [{"spec": {"group": "g", "names": {"kind": "Thing", "plural": "things"},
		"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object",
		"properties": {"spec": {"type": "object", "properties":
		{"share": {"type": "number"}}}}}}}]}}]}`
	_, err := generate(strings.NewReader(crds))
	want := `Thing.spec.share: no Go type for "number"`
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}
