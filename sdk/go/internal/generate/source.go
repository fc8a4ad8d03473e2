package main

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strings"
)

const columns = 100

// source writes a model as one Go file. The same model gives the same bytes.
func source(of *model) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("// Code generated from the CustomResourceDefinitions by internal/generate; " +
		"DO NOT EDIT.\n\npackage v1\n\n")
	out.WriteString("import (\n\tmetav1 \"k8s.io/apimachinery/pkg/apis/meta/v1\"\n" +
		"\t\"k8s.io/apimachinery/pkg/runtime\"\n)\n\n")
	fmt.Fprintf(&out, "// Group is the API group of all kinds.\nconst Group = %q\n\n", of.group)
	fmt.Fprintf(&out, "// Version is the API version of all kinds.\nconst Version = %q\n\n",
		of.version)
	kinds(&out, of)
	for _, one := range of.roots {
		rootTypes(&out, one)
	}
	for _, one := range of.structs {
		structSource(&out, one)
	}
	for _, one := range of.enums {
		enumSource(&out, one)
	}
	formatted, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("the generated source is not Go: %w", err)
	}
	return formatted, nil
}

func kinds(out *bytes.Buffer, of *model) {
	out.WriteString("// The resources, as paths of the API name them.\nconst (\n")
	for _, one := range of.roots {
		fmt.Fprintf(out, "%sResource = %q\n", one.kind, one.plural)
	}
	out.WriteString(")\n\nfunc kinds() []runtime.Object {\nreturn []runtime.Object{\n")
	for _, one := range of.roots {
		fmt.Fprintf(out, "&%[1]s{}, &%[1]sList{},\n", one.kind)
	}
	out.WriteString("}\n}\n\n")
}

func rootTypes(out *bytes.Buffer, of root) {
	comment(out, of.kind, of.doc)
	fmt.Fprintf(out, "type %s struct {\nmetav1.TypeMeta `json:\",inline\"`\n", of.kind)
	out.WriteString("metav1.ObjectMeta `json:\"metadata,omitzero\"`\n\n")
	fmt.Fprintf(out, "Spec %sSpec `json:\"spec\"`\n", of.kind)
	if of.status {
		fmt.Fprintf(out, "Status %sStatus `json:\"status,omitzero\"`\n", of.kind)
	}
	out.WriteString("}\n\n")
	fmt.Fprintf(out, "// %[1]sList is a list of %[1]s objects.\ntype %[1]sList struct {\n", of.kind)
	out.WriteString("metav1.TypeMeta `json:\",inline\"`\n" +
		"metav1.ListMeta `json:\"metadata,omitzero\"`\n\n")
	fmt.Fprintf(out, "Items []%s `json:\"items\"`\n}\n\n", of.kind)
	lines := []string{"out.TypeMeta = in.TypeMeta", "in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)",
		"in.Spec.DeepCopyInto(&out.Spec)"}
	if of.status {
		lines = append(lines, "in.Status.DeepCopyInto(&out.Status)")
	}
	copies(out, of.kind, lines)
	objectCopy(out, of.kind)
	item := goType{text: of.kind, copy: byDeepCopy}
	items := goType{text: "[]" + of.kind, copy: sliceOf, elem: &item}
	copies(out, of.kind+"List", []string{"out.TypeMeta = in.TypeMeta",
		"in.ListMeta.DeepCopyInto(&out.ListMeta)", copyField("Items", items)})
	objectCopy(out, of.kind+"List")
}

func structSource(out *bytes.Buffer, of *structType) {
	comment(out, of.name, of.doc)
	fmt.Fprintf(out, "type %s struct {\n", of.name)
	lines := []string{"*out = *in"}
	for _, one := range of.fields {
		comment(out, "", one.doc)
		tag := one.json
		if one.optional {
			tag += ",omitempty"
		}
		fmt.Fprintf(out, "%s %s `json:%q`\n", one.name, one.of.text, tag)
		if line := copyField(one.name, one.of); line != "" {
			lines = append(lines, line)
		}
	}
	out.WriteString("}\n\n")
	copies(out, of.name, lines)
}

func enumSource(out *bytes.Buffer, of *enumType) {
	comment(out, of.name, of.doc)
	fmt.Fprintf(out, "type %s string\n\n// The values of %s.\nconst (\n", of.name, of.name)
	for _, value := range of.values {
		fmt.Fprintf(out, "%s%s %s = %q\n", of.name, value, of.name, value)
	}
	out.WriteString(")\n\n")
}

func copies(out *bytes.Buffer, name string, lines []string) {
	fmt.Fprintf(out, "// DeepCopyInto copies in to out, which shares nothing with it afterwards.\n")
	fmt.Fprintf(out, "func (in *%[1]s) DeepCopyInto(out *%[1]s) {\n%[2]s\n}\n\n",
		name, strings.Join(lines, "\n"))
	fmt.Fprintf(out, "// DeepCopy returns a copy that shares nothing with in.\n")
	fmt.Fprintf(out, "func (in *%[1]s) DeepCopy() *%[1]s {\nif in == nil {\nreturn nil\n}\n", name)
	fmt.Fprintf(out, "out := new(%s)\nin.DeepCopyInto(out)\nreturn out\n}\n\n", name)
}

func objectCopy(out *bytes.Buffer, name string) {
	fmt.Fprintf(out, "// DeepCopyObject implements [runtime.Object].\n")
	fmt.Fprintf(out, "func (in *%s) DeepCopyObject() runtime.Object {\n", name)
	out.WriteString("if in == nil {\nreturn nil\n}\nreturn in.DeepCopy()\n}\n\n")
}

// copyField copies what an assignment of the whole struct would share.
func copyField(name string, of goType) string {
	switch of.copy {
	case pointerToValue:
		return fmt.Sprintf("if in.%[1]s != nil {\nout.%[1]s = new(*in.%[1]s)\n}", name)
	case pointerToDeep:
		return fmt.Sprintf("out.%[1]s = in.%[1]s.DeepCopy()", name)
	case byDeepCopy:
		return fmt.Sprintf("in.%[1]s.DeepCopyInto(&out.%[1]s)", name)
	case sliceOf:
		each := fmt.Sprintf("copy(out.%[1]s, in.%[1]s)", name)
		if of.elem.copy != byValue {
			each = fmt.Sprintf("for i := range in.%[1]s {\nin.%[1]s[i].DeepCopyInto(&out.%[1]s[i])\n}",
				name)
		}
		return fmt.Sprintf("if in.%[1]s != nil {\nout.%[1]s = make(%[2]s, len(in.%[1]s))\n%[3]s\n}",
			name, of.text, each)
	case mapOf:
		return fmt.Sprintf("if in.%[1]s != nil {\nout.%[1]s = make(%[2]s, len(in.%[1]s))\n"+
			"for key, value := range in.%[1]s {\nout.%[1]s[key] = value\n}\n}", name, of.text)
	}
	return ""
}

// comment writes a description, wrapped, beginning with the name that it describes.
func comment(out *bytes.Buffer, name, text string) {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, paragraph := range paragraphs {
		if i == 0 && name != "" {
			paragraph = name + ": " + paragraph
		}
		if i > 0 {
			out.WriteString("//\n")
		}
		if heading, rest, ok := strings.Cut(paragraph, "\n"); ok && strings.HasPrefix(heading, "# ") {
			fmt.Fprintf(out, "// %s\n//\n", heading)
			paragraph = rest
		}
		for _, line := range wrap(paragraph) {
			fmt.Fprintf(out, "// %s\n", line)
		}
	}
}

func wrap(text string) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= columns-len("\t// ")-3 {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return slices.Clip(lines)
}
