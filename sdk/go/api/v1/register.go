package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is konductor.io/v1.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme teaches a scheme the kinds of konductor.io/v1.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, kinds()...)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
