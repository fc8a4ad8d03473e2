// Command protobuf prints how Kubernetes writes the built-in kinds as protobuf, for local/schemas/protobuf.txt:
//
//	go run . > ../protobuf.txt
//
// A line "kind VERSION KIND MESSAGE" names the message of a kind. A line "message NAME" begins a message, and each line
// after it is a field: NUMBER NAME SHAPE TYPE. The shapes:
//
//	value     always written, and left out of JSON if it is empty
//	required  always written, and in JSON also if it is empty
//	pointer   written if it is set
//	list      repeated
//	map       a map from strings
//	inline    a message whose fields stand among those of its owner in JSON
//
// A "union" is a message that is one of its fields in JSON.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kinds are what is served, and what requests and answers have beside objects.
var kinds = []struct {
	version string
	types   []any
}{
	{"v1", []any{
		corev1.Namespace{}, corev1.NamespaceList{}, corev1.Pod{}, corev1.PodList{}, corev1.ConfigMap{}, corev1.ConfigMapList{},
		corev1.Secret{}, corev1.SecretList{}, corev1.ServiceAccount{}, corev1.ServiceAccountList{},
		corev1.PersistentVolumeClaim{}, corev1.PersistentVolumeClaimList{}, corev1.Event{}, corev1.EventList{},
		corev1.Node{}, corev1.NodeList{}, corev1.Service{}, corev1.ServiceList{}, corev1.ResourceQuota{}, corev1.ResourceQuotaList{},
		metav1.Status{}, metav1.DeleteOptions{},
	}},
	{"apiextensions.k8s.io/v1", []any{apiextensionsv1.CustomResourceDefinition{}, apiextensionsv1.CustomResourceDefinitionList{}}},
	{"authentication.k8s.io/v1", []any{authenticationv1.SelfSubjectReview{}, authenticationv1.TokenRequest{}}},
	{"authorization.k8s.io/v1", []any{
		authorizationv1.SelfSubjectAccessReview{}, authorizationv1.SelfSubjectRulesReview{},
	}},
	{"autoscaling/v1", []any{autoscalingv1.Scale{}}},
	{"batch/v1", []any{batchv1.Job{}, batchv1.JobList{}, batchv1.CronJob{}, batchv1.CronJobList{}}},
	{"coordination.k8s.io/v1", []any{coordinationv1.Lease{}, coordinationv1.LeaseList{}}},
	{"events.k8s.io/v1", []any{eventsv1.Event{}, eventsv1.EventList{}}},
	{"meta.k8s.io/v1", []any{metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{}, metav1.DeleteOptions{}}},
	{"policy/v1", []any{policyv1.Eviction{}}},
	{"rbac.authorization.k8s.io/v1", []any{
		rbacv1.Role{}, rbacv1.RoleList{}, rbacv1.RoleBinding{}, rbacv1.RoleBindingList{},
		rbacv1.ClusterRole{}, rbacv1.ClusterRoleList{}, rbacv1.ClusterRoleBinding{}, rbacv1.ClusterRoleBindingList{},
	}},
}

// special are types whose JSON is not that of their fields.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                     "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                 "raw",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                 "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":               "int-or-string",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                  "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "raw",
	"k8s.io/api/authorization/v1.ExtraValue":                        "strings",
	"k8s.io/api/authentication/v1.ExtraValue":                       "strings",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Verbs":                    "strings",
}

var unions = []string{"JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrStringArray"}

var messages = map[string]string{}

// message describes a struct, and all that it refers to, and returns its name.
func message(of reflect.Type) string {
	name := strings.TrimPrefix(of.PkgPath(), "k8s.io/")
	name = strings.NewReplacer("apimachinery/pkg/apis/", "", "api/", "", "apiextensions-apiserver/pkg/apis/", "").Replace(name)
	name += "." + of.Name()
	if _, known := messages[name]; known {
		return name
	}
	messages[name] = ""
	heading := "message"
	if slices.Contains(unions, of.Name()) {
		heading = "union"
	}
	text := fmt.Sprintf("%s %s\n", heading, name)
	for field := range fields(of) {
		text += field
	}
	messages[name] = text
	return name
}

func fields(of reflect.Type) func(func(string) bool) {
	return func(yield func(string) bool) {
		for index := range of.NumField() {
			field := of.Field(index)
			tag := strings.Split(field.Tag.Get("protobuf"), ",")
			if len(tag) < 2 {
				continue
			}
			json := strings.Split(field.Tag.Get("json"), ",")
			name := json[0]
			for _, part := range tag {
				if value, ok := strings.CutPrefix(part, "name="); ok && name == "" {
					name = value
				}
			}
			shape, kind := shapeOf(field.Type, json)
			if !yield(fmt.Sprintf("%s %s %s %s\n", tag[1], name, shape, kind)) {
				return
			}
		}
	}
}

func shapeOf(of reflect.Type, json []string) (string, string) {
	shape := "required"
	if slices.Contains(json, "omitempty") || slices.Contains(json, "omitzero") {
		shape = "value"
	}
	if slices.Contains(json, "inline") {
		shape = "inline"
	}
	if of.Kind() == reflect.Pointer {
		shape, of = "pointer", of.Elem()
	}
	if kind, known := special[of.PkgPath()+"."+of.Name()]; known {
		return shape, kind
	}
	switch of.Kind() {
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return shape, "bytes"
		}
		return "list", scalar(of.Elem())
	case reflect.Map:
		return "map", scalar(of.Elem())
	default:
		return shape, scalar(of)
	}
}

func scalar(of reflect.Type) string {
	if kind, known := special[of.PkgPath()+"."+of.Name()]; known {
		return kind
	}
	switch of.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "integer"
	case reflect.Float64:
		return "double"
	case reflect.Struct:
		return message(of)
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
	}
	panic(fmt.Sprintf("%s can't be written as protobuf", of))
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	for _, group := range kinds {
		for _, value := range group.types {
			of := reflect.TypeOf(value)
			fmt.Fprintf(out, "kind %s %s %s\n", group.version, of.Name(), message(of))
		}
	}
	names := make([]string, 0, len(messages))
	for name := range messages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out.WriteString(messages[name])
	}
	if err := out.Flush(); err != nil {
		panic(err)
	}
}
