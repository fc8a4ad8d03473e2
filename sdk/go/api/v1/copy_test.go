package v1

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"
)

func TestACopyIsEqualAndSharesNothing(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(reflect.TypeOf(kind).Elem().Name(), func(t *testing.T) {
			randfill.NewWithSeed(1).NilChance(0).NumElements(1, 3).Fill(kind)
			copied := kind.DeepCopyObject()
			if !reflect.DeepEqual(copied, kind) {
				t.Fatalf("got %+v, want %+v", copied, kind)
			}
			shared(t, "", reflect.ValueOf(copied), reflect.ValueOf(kind))
		})
	}
}

func TestWithoutAnObjectThereIsNoCopy(t *testing.T) {
	var none *Barrier
	if got := none.DeepCopyObject(); got != runtime.Object(nil) {
		t.Fatalf("got %v", got)
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.Type().String() == "*time.Location" {
			return
		}
		if a.Pointer() == b.Pointer() && !a.IsNil() {
			t.Errorf("%s is shared", path)
			return
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() {
			shared(t, path, a.Elem(), b.Elem())
		}
	case reflect.Slice:
		for i := range a.Len() {
			shared(t, path+"[]", a.Index(i), b.Index(i))
		}
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	}
}
