package main

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestAnOldTokenIsRefusedAndChangesNothing(t *testing.T) {
	to := store{filepath.Join(t.TempDir(), "report.json")}
	for _, one := range []record{{5, "first"}, {5, "first, repeated"}, {8, "second"}} {
		if err := to.write(one.Token, one.Text); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.write(5, "a holder that was asleep"); !errors.Is(err, errStale) {
		t.Errorf("got %v, want that it is stale", err)
	}
	got, err := to.read()
	if want := (record{8, "second"}); err != nil || got != want {
		t.Errorf("the file has %v (%v), want %v", got, err, want)
	}
}
