package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"twohop"
)

// Validate returns all that is wrong with the configuration as Faults, or nil.
func (c *Config) Validate() error { return c.check().asError() }

func (c *Config) check() Faults {
	var faults Faults
	add := func(path, message, hint string) {
		faults = append(faults, Fault{Path: path, Message: message, Hint: hint})
	}
	if message, hint := checkEngine(c.Engine); message != "" {
		add("engine", message, hint)
	}
	v := reflect.ValueOf(c).Elem()
	for _, o := range Options() {
		if o.Path != "engine" {
			if message := o.check(v.FieldByIndex(o.index)); message != "" {
				add(o.Path, message, "")
			}
		}
	}
	if message := checkAddress(c.Listen); message != "" {
		add("listen", message, "write HOST:PORT, for example 127.0.0.1:4437 or 0.0.0.0:4437")
	}
	if c.Engine == "disk" && c.Data == "" {
		add("data", "is empty, but the disk engine needs a directory", "")
	}
	if message := checkAddress(c.Debug.Listen); c.Debug.Listen != "" && message != "" {
		add("debug.listen", message, "write for example 127.0.0.1:4438")
	} else if c.Debug.Listen != "" && !isLoopback(c.Debug.Listen) {
		add("debug.listen", fmt.Sprintf("%q is not a loopback address", c.Debug.Listen), "profiles show the inside of the process; write for example 127.0.0.1:4438")
	}
	if h := c.SSE.Heartbeat; h > 0 && h < time.Second {
		add("sse.heartbeat", formatDuration(h)+" is less than 1s", "0 is the default: 15s, and 45s on plain connections that show no proxy")
	}
	if message, hint := checkPublicURL(c.PublicURL); message != "" {
		add("public_url", message, hint)
	}
	for _, origin := range c.CORS.Origins {
		if message, hint := checkOrigin(origin); message != "" {
			add("cors.origins", message, hint)
		}
	}
	for i := range c.Rules {
		faults = append(faults, c.checkRule(i)...)
	}
	return faults
}

// check holds a value against the bounds of its option.
func (o *Option) check(field reflect.Value) string {
	text := o.text(field)
	if len(o.Enum) > 0 && !slices.Contains(o.Enum, text) && (text != "" || o.Default != "") {
		hint := ""
		if n := nearest(text, o.Enum); n != "" {
			hint = "; did you mean " + n + "?"
		}
		return fmt.Sprintf("%q is none of %s%s", text, strings.Join(o.Enum, ", "), hint)
	}
	bound := reflect.New(field.Type()).Elem()
	if o.Min != "" && o.set(bound, o.Min) == nil && field.Int() < bound.Int() {
		return fmt.Sprintf("%s is less than %s", text, o.Min)
	}
	if o.Max != "" && o.set(bound, o.Max) == nil && field.Int() > bound.Int() {
		return fmt.Sprintf("%s is more than %s", text, o.Max)
	}
	return ""
}

func checkEngine(engine string) (message, hint string) {
	switch engine {
	case "disk", "memory":
		return "", ""
	}
	scheme, _, isURL := strings.Cut(engine, "://")
	if isURL && slices.Contains([]string{"redis", "rediss", "kafka", "nats"}, scheme) {
		return fmt.Sprintf("the %s engine is not in this version", scheme), "use disk or memory"
	}
	return fmt.Sprintf("there is no engine %q", engine), "use disk or memory"
}

func checkAddress(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Sprintf("%q is not an address", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%q has no port between 0 and 65535", address)
	}
	return ""
}

// checkPublicURL: paths are appended to it.
func checkPublicURL(address string) (message, hint string) {
	u, err := url.Parse(address)
	switch {
	case address == "":
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Sprintf("%q is not an http or https address", address), ""
	case u.User != nil || strings.ContainsAny(address, "?#"):
		return fmt.Sprintf("%q has a user, a query or a fragment", address), "write scheme and host, for example https://live.example.com"
	}
	return "", ""
}

// checkOrigin refuses what no browser sends: origins are compared byte for byte.
func checkOrigin(origin string) (message, hint string) {
	if origin == "*" {
		return "", ""
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return fmt.Sprintf("%q is not an origin", origin), "write scheme and host, for example https://app.example.com, or *"
	}
	switch sent := asSent(u); {
	case strings.Contains(u.Host, "*"):
		return fmt.Sprintf("%q is the origin of no page: there are no wildcards", origin), "name each origin, or write * for any"
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf }):
		return fmt.Sprintf("%q is not as browsers send it: they write the host in ASCII", origin), "write its name that begins with xn--"
	case sent != origin:
		return fmt.Sprintf("%q is not as browsers send it", origin), "write " + sent
	}
	return "", ""
}

// asSent is an origin as browsers send it.
func asSent(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

func (c *Config) checkRule(i int) Faults {
	r, at := &c.Rules[i], fmt.Sprintf("rules[%d]", i)
	var faults Faults
	add := func(option, message, hint string) {
		faults = append(faults, Fault{Path: at + option, Message: message, Hint: hint})
	}
	v := reflect.ValueOf(r).Elem()
	for _, o := range RuleOptions() {
		if message := o.check(v.FieldByIndex(o.index)); message != "" {
			add(strings.TrimPrefix(o.Path, "rules"), message, "")
		}
	}
	switch {
	case r.Match == "":
		add("", "has no match", `a rule needs match: and the names that it is for, for example match: "logs/**"`)
	case twohop.CheckGlob(r.Match) != nil:
		add(".match", fmt.Sprintf("%q is malformed", r.Match), `a [ needs its ]; write a literal one as \[`)
	case slices.ContainsFunc(strings.Split(r.Match, "/"), func(segment string) bool { return segment == "" || segment == "." || segment == ".." }):
		add(".match", fmt.Sprintf("%q matches no channel: no segment of a name is empty, . or ..", r.Match), `write for example "logs/**"`)
	}
	if r.ContentType != "" && twohop.CheckContentType(r.ContentType) != nil {
		add(".content_type", fmt.Sprintf("%q is not a media type", r.ContentType), "write for example application/json")
	}
	if r.Sync != "" && c.Engine == "memory" {
		add(".sync", fmt.Sprintf("rule %q asks for sync: %s, but the memory engine keeps nothing on disk", r.Match, r.Sync), "leave sync out, or use engine: disk")
	}
	return faults
}
