package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// set parses text into the option's field.
func (o *Option) set(field reflect.Value, text string) error {
	switch o.Type {
	case "duration":
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		field.SetInt(int64(d))
	case "size":
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		field.SetInt(n)
	case "number":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		field.SetInt(n)
	case "true or false":
		switch text {
		case "true", "false":
			field.SetBool(text == "true")
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case "list":
		var list []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		field.Set(reflect.ValueOf(list))
	default:
		field.SetString(text)
	}
	return nil
}

// text is the option's value as it would be written in the file.
func (o *Option) text(field reflect.Value) string {
	switch o.Type {
	case "duration":
		return formatDuration(time.Duration(field.Int()))
	case "size":
		return formatSize(field.Int())
	case "number":
		return strconv.FormatInt(field.Int(), 10)
	case "true or false":
		return strconv.FormatBool(field.Bool())
	case "list":
		return strings.Join(field.Interface().([]string), ",")
	}
	return field.String()
}

// sizeUnits are tried in order when a size is written.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// parseSize reads bytes with or without a unit: 4096, 256KiB, 1 MB.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(text[len(digits):])
	factor := int64(1)
	if unit != "" {
		factor = 0
		for _, u := range sizeUnits {
			if strings.EqualFold(u.name, unit) {
				factor = u.bytes
			}
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case factor == 0:
		return 0, fmt.Errorf("%q has an unknown unit: write B, KB, MB, GB, TB, KiB, MiB, GiB or TiB", text)
	case err != nil || n < 0:
		return 0, fmt.Errorf("%q is not a size: write for example 4096, 256KiB or 1MB", text)
	case n > math.MaxInt64/factor:
		return 0, fmt.Errorf("%q is too large", text)
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && u.bytes > 1 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

const day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration does, and days: 7d, 1d12h. None is
// negative.
func ParseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write for example 250ms, 20s, 5m or 7d", text)
	var days time.Duration
	rest := text
	if before, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, rest = time.Duration(n)*day, after
	}
	if rest == "" && days > 0 {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		if _, numeric := strconv.ParseFloat(rest, 64); numeric == nil {
			return 0, fmt.Errorf("%q has no unit: write for example %ss", text, text)
		}
		return 0, bad
	}
	if d < 0 {
		return 0, errors.New("a duration cannot be negative")
	}
	return days + d, nil
}

func formatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
