package konductor

import (
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
)

// holderMax is the length of the longest holder.
const holderMax = 253

// checked returns an error if no object can have this name: such a name would be read as another path.
func (t target) checked() (target, error) {
	if wrong := validation.IsDNS1123Subdomain(t.name); len(wrong) > 0 {
		return t, t.fail(ErrInvalid, "Invalid", "%q can't be the name of a %s: %s",
			t.name, strings.ToLower(t.kind), strings.Join(wrong, ", "))
	}
	if wrong := validation.IsDNS1123Label(t.namespace); len(wrong) > 0 {
		return t, t.fail(ErrInvalid, "Invalid", "%q can't be the name of a namespace: %s",
			t.namespace, strings.Join(wrong, ", "))
	}
	return t, nil
}

// checkedHolder returns an error if a text can't be a holder; most texts can.
func (t target) checkedHolder(holder string) error {
	if length := utf8.RuneCountInString(holder); length < 1 || length > holderMax {
		return t.fail(ErrInvalid, "Invalid",
			"%q can't be a holder: name it with 1 to %d characters", holder, holderMax)
	}
	return nil
}
