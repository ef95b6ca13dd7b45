//go:build !unix

package media

func countLost(c *SocketCounters, _ error) { c.Other.Add(1) }
