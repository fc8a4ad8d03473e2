package konductor

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
)

// decode reads an object without its managed fields: this package does not need them, and others may
// store in them what no client can decode, such as a time of the year 10000.
func decode(text []byte, into any) error {
	var fields, metadata map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	if json.Unmarshal(fields["metadata"], &metadata) == nil && metadata["managedFields"] != nil {
		delete(metadata, "managedFields")
		kept, err := json.Marshal(metadata)
		if err != nil {
			return err
		}
		fields["metadata"] = kept
		if text, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	return json.Unmarshal(text, into)
}

// outline is the part that is needed of every object.
type outline struct {
	Metadata struct {
		UID             types.UID `json:"uid"`
		ResourceVersion string    `json:"resourceVersion"`
	} `json:"metadata"`
}

// list is a list whose objects are decoded one by one.
type list struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// event is a change that a watch reports.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}
