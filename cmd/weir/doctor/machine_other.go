//go:build !linux

package doctor

import "errors"

// machine is this one.
type machine struct{}

var errNotHere = errors.New("only on Linux")

// OpenFiles implements Host.
func (machine) OpenFiles() (uint64, error) { return 0, errNotHere }

// ReceiveBuffer implements Host.
func (machine) ReceiveBuffer(int) (int, error) { return 0, errNotHere }

// Kernel implements Host.
func (machine) Kernel() []string { return []string{"Linux"} }
