package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
)

// splitArray cuts a JSON array into its elements. They keep their own text.
func splitArray(b []byte) ([][]byte, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil // an empty page, as some servers write it
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, malformed("a page of JSON records that is not an array")
	}
	var records [][]byte
	for d.More() {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, malformed("a page of JSON records: %v", err)
		}
		records = append(records, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed("a page of JSON records: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, malformed("a page of JSON records with something behind it")
	}
	return records, nil
}

// splitPage makes records of a page or event: the elements of a JSON array, or
// all the bytes as one. The caller may go on to use b.
func splitPage(b []byte, isJSON bool) ([][]byte, error) {
	if isJSON {
		return splitArray(b)
	}
	if len(b) == 0 {
		return nil, nil
	}
	return [][]byte{bytes.Clone(b)}, nil
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
