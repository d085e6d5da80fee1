//go:build !linux

package bench

import "errors"

func processCPU(int) (int64, error)    { return 0, errors.ErrUnsupported }
func processMemory(int) (int64, error) { return 0, errors.ErrUnsupported }
func machineCPU() (busy, total int64)  { return 0, 0 }
func ownCPU() int64                    { return 0 }
func cpuModel() string                 { return "" }
func kernel() string                   { return "" }
