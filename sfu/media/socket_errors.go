//go:build unix

package media

import (
	"errors"
	"syscall"
)

func countLost(c *socketCounters, err error) {
	switch {
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		c.full.Add(1)
	case errors.Is(err, syscall.EMSGSIZE):
		c.tooLong.Add(1)
	default:
		c.other.Add(1)
	}
}
