//go:build !unix

package media

func countLost(c *socketCounters, _ error) { c.other.Add(1) }
