package konductor

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
)

func TestManagedFieldsAreNeverDecoded(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return strings.Repeat(`{"f:a":`, depth) + "{}" + strings.Repeat("}", depth)
	}
	all := []string{`7`, `null`, `{}`, `[[]]`, `[{"time":7}]`, `[{"time":""}]`, `[{"time":"never"}]`,
		`[{"time":"10000-01-01T23:58:59Z"}]`, `[{"time":"-0001-01-01T00:00:00Z"}]`,
		`[{"fieldsV1":` + nested(150) + `}]`, `[{"fieldsV1":` + nested(5000) + `}]`,
		`[{"fieldsV1":"text"}]`}
	for _, managed := range all {
		text := `{"metadata":{"name":"a","managedFields":` + managed + `,"uid":"1"},` +
			`"spec":{"holder":"x"},"status":{"phase":"Granted"}}`
		var found v1.Claim
		if err := decode([]byte(text), &found); err != nil {
			t.Errorf("%.60s: %v", managed, err)
		}
		if found.Name != "a" || found.Spec.Holder != "x" ||
			found.Status.Phase != v1.ClaimPhaseGranted || found.ManagedFields != nil {
			t.Errorf("%.60s: got %+v", managed, found)
		}
		// Without this they would hide the object.
		if managed == all[7] && json.Unmarshal([]byte(text), &found) == nil {
			t.Error("this time can be read: the test shows nothing")
		}
	}
}
