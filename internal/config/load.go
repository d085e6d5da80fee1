package config

import (
	"os"
	"reflect"
)

// Sources are where a configuration comes from, the stronger ones last.
type Sources struct {
	File  string                           // path of the YAML file; "" is none
	Env   func(name string) (string, bool) // os.LookupEnv; nil is none
	Flags map[string]string                // by the option's path
}

// Loaded is a configuration and where each option of it comes from.
type Loaded struct {
	Config  Config
	Origins map[string]string // by path: "twohop.yaml:3", "$TWOHOP_LISTEN", "--listen"; absent is the default
}

// Load reads all sources and validates the whole. Its error is Faults, except
// where the file cannot be read.
func Load(s Sources) (*Loaded, error) {
	l := &Loaded{Config: Default(), Origins: map[string]string{}}
	var faults Faults
	if s.File != "" {
		text, err := os.ReadFile(s.File)
		if err != nil {
			return nil, err
		}
		d := &decoder{file: s.File, origins: l.Origins}
		d.document(text, &l.Config)
		faults = append(faults, d.faults...)
	}
	v := reflect.ValueOf(&l.Config).Elem()
	set := func(o *Option, text, origin string) {
		l.Origins[o.Path] = origin
		if err := o.set(v.FieldByIndex(o.index), text); err != nil {
			faults = append(faults, Fault{Where: origin, Message: err.Error()})
		}
	}
	for _, o := range Options() {
		if s.Env != nil {
			if text, ok := s.Env(o.Env()); ok && text != "" {
				set(&o, text, "$"+o.Env())
			}
		}
		if text, ok := s.Flags[o.Path]; ok {
			set(&o, text, "--"+o.Flag())
		}
	}
	for _, f := range l.Config.check() {
		f.Where = l.Origins[f.Path]
		faults = append(faults, f)
	}
	return l, faults.asError()
}
