package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// words gives the types of nested objects and enums their names; what is not here is named by its
// path, such as GateStatusConditionStatuses.
var words = map[string]string{
	"Arrival.spec.outcome":                  "ArrivalOutcome",
	"Barrier.spec.arrivals":                 "BarrierArrivals",
	"Barrier.spec.jobs":                     "JobSelector",
	"Barrier.status.phase":                  "BarrierPhase",
	"Claim.spec.target":                     "ClaimTarget",
	"Claim.spec.target.kind":                "LedgerKind",
	"Claim.spec.pod":                        "PodReference",
	"Claim.status.phase":                    "ClaimPhase",
	"Gate.spec.conditions":                  "GateCondition",
	"Gate.spec.conditions.selector":         "JobSelector",
	"Gate.spec.conditions.state":            "ConditionState",
	"Gate.spec.conditions.type":             "ConditionKind",
	"Gate.spec.decision":                    "GateDecision",
	"Gate.spec.mode":                        "GateMode",
	"Gate.status.conditionStatuses":         "GateConditionStatus",
	"Gate.status.conditionStatuses.verdict": "Verdict",
	"Gate.status.phase":                     "GatePhase",
	"Lease.status.holders":                  "LedgerEntry",
	"Lease.status.holders.kind":             "HolderKind",
	"Lease.status.phase":                    "LeasePhase",
	"Run.status.outcome":                    "RunOutcome",
	"Run.status.phase":                      "RunPhase",
	"Semaphore.spec.order":                  "SemaphoreOrder",
	"Semaphore.status.holders":              "LedgerEntry",
	"Semaphore.status.holders.kind":         "HolderKind",
	"Semaphore.status.phase":                "SemaphorePhase",
}

// A model is what is to be written: every type once, in the order of its first use.
type model struct {
	group, version string
	roots          []root
	structs        []*structType
	enums          []*enumType
}

type root struct {
	kind, plural, doc string
	status            bool
}

type structType struct {
	name, doc string
	fields    []field
}

type enumType struct {
	name, doc string
	values    []string
}

type field struct {
	name, json, doc string
	of              goType
	optional        bool
}

// A goType is a type as Go writes it, and how a value of it is copied.
type goType struct {
	text string
	copy copying
	elem *goType
}

type copying int

const (
	byValue copying = iota
	byDeepCopy
	pointerToValue
	pointerToDeep
	sliceOf
	mapOf
)

func build(from *list) (*model, error) {
	made := &model{
		group:   from.Items[0].Spec.Group,
		version: from.Items[0].Spec.Versions[0].Name,
	}
	items := slices.SortedFunc(slices.Values(from.Items), func(a, b crd) int {
		return cmp.Compare(a.Spec.Names.Kind, b.Spec.Names.Kind)
	})
	for _, one := range items {
		kind, top := one.Spec.Names.Kind, one.Spec.Versions[0].Schema.OpenAPI
		status := top.Properties["status"] != nil
		made.roots = append(made.roots, root{kind, one.Spec.Names.Plural, top.Description, status})
		for _, part := range []string{"spec", "status"} {
			if of := top.Properties[part]; of != nil {
				if err := made.object(kind+title(part), kind+"."+part, of); err != nil {
					return nil, err
				}
			}
		}
	}
	return made, nil
}

// object adds a struct, and before it is complete everything that its fields are made of.
func (m *model) object(name, path string, of *schema) error {
	made := &structType{name: name, doc: of.Description}
	known := slices.IndexFunc(m.structs, func(one *structType) bool { return one.name == name })
	if known < 0 {
		m.structs = append(m.structs, made)
	}
	for _, key := range slices.Sorted(maps.Keys(of.Properties)) {
		property := of.Properties[key]
		required := slices.Contains(of.Required, key)
		one, err := m.typeOf(path+"."+key, property, required)
		if err != nil {
			return err
		}
		made.fields = append(made.fields, field{title(key), key, property.Description, one, !required})
	}
	if known >= 0 && !sameFields(m.structs[known], made) {
		return fmt.Errorf("%s: %s is the name of another shape already", path, name)
	}
	return nil
}

func sameFields(a, b *structType) bool {
	return slices.EqualFunc(a.fields, b.fields, func(a, b field) bool {
		return a.json == b.json && a.of.text == b.of.text && a.optional == b.optional
	})
}

func (m *model) typeOf(path string, of *schema, required bool) (goType, error) {
	switch {
	case of.Type == "string" && len(of.Enum) > 0:
		return m.enum(path, of)
	case of.Type == "string" && of.Format == "date-time":
		if required {
			return goType{text: "metav1.Time", copy: byDeepCopy}, nil
		}
		return goType{text: "*metav1.Time", copy: pointerToDeep}, nil
	case of.Type == "string" && strings.Contains(of.Pattern, "([0-9]+ms)?$"):
		return goType{text: "Duration"}, nil
	case of.Type == "string":
		return goType{text: "string"}, nil
	case of.Type == "boolean":
		return scalar("bool", !required && string(of.Default) != "false"), nil
	case of.Type == "integer":
		return integer(of, required), nil
	case of.Type == "array":
		elem, err := m.typeOf(path, of.Items, true)
		return goType{text: "[]" + elem.text, copy: sliceOf, elem: &elem}, err
	case of.Type == "object" && of.AdditionalProperties != nil:
		elem, err := m.typeOf(path, of.AdditionalProperties, true)
		return goType{text: "map[string]" + elem.text, copy: mapOf, elem: &elem}, err
	case of.Type == "object" && isCondition(of):
		return goType{text: "metav1.Condition", copy: byDeepCopy}, nil
	case of.Type == "object":
		name := m.word(path)
		if err := m.object(name, path, of); err != nil {
			return goType{}, err
		}
		if required {
			return goType{text: name, copy: byDeepCopy}, nil
		}
		return goType{text: "*" + name, copy: pointerToDeep}, nil
	}
	return goType{}, fmt.Errorf("%s: no Go type for %q", path, of.Type)
}

// integer is a pointer where zero is a value that differs from none.
func integer(of *schema, required bool) goType {
	text := "int32"
	if of.Format == "int64" {
		text = "int64"
	}
	zeroIsNone := string(of.Default) == "0" || (of.Minimum != nil && *of.Minimum >= 1)
	return scalar(text, !required && !zeroIsNone)
}

func scalar(text string, pointer bool) goType {
	if pointer {
		return goType{text: "*" + text, copy: pointerToValue}
	}
	return goType{text: text}
}

func (m *model) enum(path string, of *schema) (goType, error) {
	made := &enumType{name: m.word(path), doc: of.Description, values: of.Enum}
	for _, known := range m.enums {
		if known.name == made.name {
			if !slices.Equal(known.values, made.values) {
				return goType{}, fmt.Errorf("%s: %s has other values already", path, made.name)
			}
			return goType{text: made.name}, nil
		}
	}
	m.enums = append(m.enums, made)
	return goType{text: made.name}, nil
}

func (m *model) word(path string) string {
	if word, ok := words[path]; ok {
		return word
	}
	var name strings.Builder
	for _, part := range strings.Split(path, ".") {
		name.WriteString(title(part))
	}
	return name.String()
}

func isCondition(of *schema) bool {
	for _, key := range []string{"lastTransitionTime", "message", "reason", "status", "type"} {
		if of.Properties[key] == nil || !slices.Contains(of.Required, key) {
			return false
		}
	}
	return true
}

// title makes an exported name of a JSON key, with the initialisms that Go writes in capitals.
func title(key string) string {
	switch key {
	case "ttl", "uid":
		return strings.ToUpper(key)
	case "ttlAfterFinished":
		return "TTLAfterFinished"
	}
	return strings.ToUpper(key[:1]) + key[1:]
}
