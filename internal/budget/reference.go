package budget

import _ "embed" // for Reference

// Reference are the costs that plans are made from where none were measured:
// what "twohop bench --calibrate internal/budget/reference.json" wrote.
//
//go:embed reference.json
var Reference string
