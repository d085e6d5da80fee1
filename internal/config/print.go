package config

import (
	"bytes"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Print is the whole configuration as YAML that can be loaded again, with the
// origin of each value in a comment.
func (l *Loaded) Print() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	root := l.mapping(reflect.ValueOf(&l.Config).Elem(), "")
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// mapping is the YAML of a struct whose path is given.
func (l *Loaded) mapping(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name := f.Tag.Get("yaml")
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
		var child *yaml.Node
		switch {
		case value.Kind() == reflect.Struct:
			child = l.mapping(value, prefix+name)
		case f.Type == reflect.TypeFor[[]Rule]():
			child = &yaml.Node{Kind: yaml.SequenceNode}
			for j := range value.Len() {
				child.Content = append(child.Content, l.mapping(value.Index(j), fmt.Sprintf("%s[%d]", name, j)))
			}
			if len(child.Content) == 0 {
				child.Style, child.LineComment = yaml.FlowStyle, l.comment(name)
			}
		default:
			if f.Tag.Get("enum") != "" && value.IsZero() && f.Tag.Get("default") == "" {
				continue // not said, and there is no word for that
			}
			child = leaf(f, value)
			child.LineComment = l.comment(prefix + name)
		}
		n.Content = append(n.Content, key, child)
	}
	return n
}

// leaf is the YAML of one value.
func leaf(f reflect.StructField, v reflect.Value) *yaml.Node {
	o := Option{Type: typeName(f)}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: o.text(v)}
	switch o.Type {
	case "text":
		n.SetString(n.Value)
	case "list":
		n = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			item := &yaml.Node{}
			item.SetString(v.Index(i).String())
			n.Content = append(n.Content, item)
		}
	}
	return n
}

func (l *Loaded) comment(path string) string {
	if origin, ok := l.Origins[path]; ok {
		return origin
	}
	return "default"
}
