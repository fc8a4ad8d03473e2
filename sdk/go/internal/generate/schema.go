package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// list is what `koncli crds -o json` prints, as far as it is used here.
type list struct {
	Items []crd `json:"items"`
}

type crd struct {
	Spec struct {
		Group    string `json:"group"`
		Names    names  `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				OpenAPI *schema `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

type names struct {
	Kind   string `json:"kind"`
	Plural string `json:"plural"`
}

// schema is a structural OpenAPI schema, as far as CustomResourceDefinitions use it.
type schema struct {
	Type                 string             `json:"type"`
	Format               string             `json:"format"`
	Description          string             `json:"description"`
	Pattern              string             `json:"pattern"`
	Default              json.RawMessage    `json:"default"`
	Enum                 []string           `json:"enum"`
	Minimum              *float64           `json:"minimum"`
	Required             []string           `json:"required"`
	Properties           map[string]*schema `json:"properties"`
	Items                *schema            `json:"items"`
	AdditionalProperties *schema            `json:"additionalProperties"`
}

func read(from io.Reader) (*list, error) {
	var read list
	if err := json.NewDecoder(from).Decode(&read); err != nil {
		return nil, fmt.Errorf("the CustomResourceDefinitions are not JSON: %w", err)
	}
	if len(read.Items) == 0 {
		return nil, fmt.Errorf("there is no CustomResourceDefinition in the input")
	}
	for _, one := range read.Items {
		if len(one.Spec.Versions) != 1 || one.Spec.Versions[0].Schema.OpenAPI == nil {
			return nil, fmt.Errorf("%s: one version with a schema is expected", one.Spec.Names.Kind)
		}
	}
	return &read, nil
}
