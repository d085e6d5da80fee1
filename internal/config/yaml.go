package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills structs from YAML nodes. It notes where each value stands and
// collects faults instead of stopping at the first.
type decoder struct {
	file    string
	origins map[string]string
	faults  Faults
}

func (d *decoder) where(n *yaml.Node) string { return fmt.Sprintf("%s:%d", d.file, n.Line) }

func (d *decoder) fault(n *yaml.Node, path, message, hint string) {
	d.faults = append(d.faults, Fault{Where: d.where(n), Path: path, Message: message, Hint: hint})
}

// syntaxLine finds the line in an error of the YAML parser, which has it in its
// text only.
var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

func (d *decoder) document(text []byte, config *Config) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return // an empty file sets nothing
	}
	if err == nil {
		root := doc.Content[0]
		d.mapping(root, reflect.ValueOf(config).Elem(), "")
		err = dec.Decode(&more)
		if err == nil {
			d.fault(&more, "", "a second document begins here", "a configuration is one YAML document")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f := Fault{Where: d.file, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
		if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
			f.Where, f.Message = d.file+":"+m[1], m[2]
		}
		d.faults = append(d.faults, f)
	}
}

// mapping fills the struct v from the mapping n.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	n = target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "options are expected here, not "+kindOf(n), "write name: value, one on each line")
		return
	}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		if line, ok := seen[key.Value]; ok {
			d.fault(key, prefix+key.Value, fmt.Sprintf("stands here a second time, first in line %d", line), "")
			continue
		}
		seen[key.Value] = key.Line
		f, ok := fieldNamed(v.Type(), key.Value)
		if !ok {
			d.unknown(key, v.Type(), prefix)
			continue
		}
		d.value(value, v.FieldByIndex(f.Index), f, prefix+key.Value)
	}
}

// value fills one field.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f reflect.StructField, path string) {
	d.origins[path] = d.where(n)
	switch {
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
		return
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
		return
	case n.Kind != yaml.ScalarNode:
		d.fault(n, path, "one value is expected here, not "+kindOf(n), "")
		return
	case isNull(n):
		d.fault(n, path, "has no value", "leave the line out for the default")
		return
	}
	o := Option{Path: path, Type: typeName(f)}
	if o.Type == "text" && n.Tag != "!!str" && f.Tag.Get("enum") == "" {
		d.fault(n, path, fmt.Sprintf("%s is not text", n.Value), "put it in quotes")
		return
	}
	if err := o.set(v, n.Value); err != nil {
		d.fault(n, path, err.Error(), "")
	}
}

// list fills a slice of texts or of rules.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		v.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "a list is expected here, not "+kindOf(n), "begin each item with a dash")
		return
	}
	v.SetZero()
	for i, item := range n.Content {
		item = target(item)
		at := fmt.Sprintf("%s[%d]", path, i)
		element := reflect.New(v.Type().Elem()).Elem()
		d.origins[at] = d.where(item)
		if element.Kind() == reflect.Struct {
			setDefaults(element.Addr().Interface())
			d.mapping(item, element, at)
		} else if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
			d.fault(item, at, "text is expected here, not "+kindOf(item), "")
			continue
		} else {
			element.SetString(item.Value)
		}
		v.Set(reflect.Append(v, element))
	}
}

// unknown tells of a key that is no option, and of the one that was probably
// meant: one beside it, or one of that name elsewhere.
func (d *decoder) unknown(key *yaml.Node, t reflect.Type, prefix string) {
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Tag.Get("yaml"))
	}
	if slices.Contains(names, strings.ToLower(key.Value)) {
		d.fault(key, prefix+key.Value, "is not an option", "names are in lower case")
		return
	}
	hint := "docs/configuration.md lists them all"
	if n := nearest(key.Value, names); n != "" {
		hint = "did you mean " + prefix + n + "?"
	}
	for _, o := range Options() {
		if strings.HasSuffix("."+o.Path, "."+key.Value) {
			hint = "did you mean " + o.Path + "?"
		}
	}
	d.fault(key, prefix+key.Value, "is not an option", hint)
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// target is the node that an alias stands for, or the node itself.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "options"
	case yaml.SequenceNode:
		return "a list"
	default:
	}
	return fmt.Sprintf("%q", n.Value)
}
