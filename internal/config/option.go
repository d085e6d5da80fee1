package config

import (
	"reflect"
	"strings"
	"time"
)

// Option is one thing that can be set, as its field in Config describes it.
type Option struct {
	Path    string // "limits.name_bytes"; in a rule "rules.match"
	Doc     string
	Default string
	Min     string
	Max     string
	Enum    []string
	Type    string // for people: "duration", "size", "number", "true or false", "list", "text"

	index []int // of the field, as reflect.Value.FieldByIndex takes it
}

// Env is the environment variable that sets the option.
func (o *Option) Env() string {
	return "TWOHOP_" + strings.ToUpper(strings.ReplaceAll(o.Path, ".", "_"))
}

// Flag is the command line flag that sets the option, without its dashes.
func (o *Option) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(o.Path) }

// Options are all that can be set everywhere, in the order of the manual: all
// but the rules.
func Options() []Option { return optionsOf(reflect.TypeFor[Config](), "", nil) }

// RuleOptions are what one rule can set, in the file only.
func RuleOptions() []Option { return optionsOf(reflect.TypeFor[Rule](), "rules.", nil) }

func optionsOf(t reflect.Type, prefix string, index []int) []Option {
	var out []Option
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + f.Tag.Get("yaml")
		at := append(append([]int(nil), index...), i)
		switch {
		case f.Type.Kind() == reflect.Struct:
			out = append(out, optionsOf(f.Type, path+".", at)...)
		case f.Type == reflect.TypeFor[[]Rule]():
		default:
			o := Option{
				Path: path, Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default"),
				Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), Type: typeName(f), index: at,
			}
			if e := f.Tag.Get("enum"); e != "" {
				o.Enum = strings.Split(e, ",")
			}
			out = append(out, o)
		}
	}
	return out
}

func typeName(f reflect.StructField) string {
	switch {
	case f.Type == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.Tag.Get("unit") == "bytes":
		return "size"
	case f.Type.Kind() == reflect.Int64:
		return "number"
	case f.Type.Kind() == reflect.Bool:
		return "true or false"
	case f.Type.Kind() == reflect.Slice:
		return "list"
	}
	return "text"
}

// setDefaults sets every option of a *Config or *Rule to its default.
func setDefaults(config any) {
	v := reflect.ValueOf(config).Elem()
	for _, o := range optionsOf(v.Type(), "", nil) {
		if o.Default == "" {
			continue
		}
		if err := o.set(v.FieldByIndex(o.index), o.Default); err != nil {
			panic("config: default of " + o.Path + ": " + err.Error()) // a test sets them all
		}
	}
}
