//go:build unix

package media

import (
	"errors"
	"syscall"
)

func countLost(c *SocketCounters, err error) {
	switch {
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		c.Full.Add(1)
	case errors.Is(err, syscall.EMSGSIZE):
		c.TooLong.Add(1)
	default:
		c.Other.Add(1)
	}
}
