package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// splitArray cuts a JSON array into its elements. They are parts of b.
func splitArray(b []byte) ([][]byte, error) {
	b = bytes.Trim(b, space)
	switch {
	case len(b) == 0:
		return nil, nil // an empty page, as some servers write it
	case b[0] != '[':
		return nil, malformed("a page of JSON records that is not an array")
	case !json.Valid(b):
		var any struct{}
		return nil, malformed("a page of JSON records: %v", json.Unmarshal(b, &any))
	}
	return cutArray(b), nil
}

const space = " \t\r\n" // between the tokens of JSON

// cutArray is splitArray of an array that is known to be one, without space
// around it.
func cutArray(b []byte) (records [][]byte) {
	for from, to := 1, 0; to < len(b)-1; from = to + 1 {
		to = elementEnd(b, from)
		if record := bytes.Trim(b[from:to:to], space); len(record) > 0 { // of [] it is nothing
			records = append(records, record)
		}
	}
	return records
}

// elementEnd is where the element of a JSON array ends that begins at i: at a
// comma or the array's end.
func elementEnd(b []byte, i int) int {
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
}

// splitPage makes records of a page or event: the elements of a JSON array, or
// all the bytes as one. They are parts of b.
func splitPage(b []byte, isJSON bool) ([][]byte, error) {
	if isJSON {
		return splitArray(b)
	}
	if len(b) == 0 {
		return nil, nil
	}
	return [][]byte{b}, nil
}

// decodeBase64 decodes the data of an event; line breaks do not count.
func decodeBase64(b []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(out, b) // skips CR and LF
	if err != nil {
		return nil, malformed("%v", fmt.Errorf("a data event: %w", err))
	}
	return out[:n], nil
}
