package wire

import (
	"math"
	"time"
)

// u32 and i32 cut to the range of a field: our counts are never negative, and a lie must not become one by wrapping.
func u32(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
func i32(n int) int32  { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

// handle16 reads a 16-bit handle that travels in 32 bits; 0, which no track may have, if it does not fit.
func handle16(n uint32) uint16 {
	if n > math.MaxUint16 {
		return 0
	}
	return uint16(n)
}

// enum8 reads an enum of at most limit; other if it is beyond.
func enum8[To ~uint8, From ~int32](n From, limit, other To) To {
	if n < 0 || n > From(limit) {
		return other
	}
	return To(n)
}

// enums reads and writes lists of enum numbers that are passed on unread; those beyond a byte are dropped.
func enums[From ~int32](list []From) []uint8 {
	var out []uint8
	for _, n := range list {
		if n >= 0 && n <= math.MaxUint8 {
			out = append(out, uint8(n))
		}
	}
	return out
}

func numbers[To ~int32](list []uint8) []To {
	var out []To
	for _, n := range list {
		out = append(out, To(n))
	}
	return out
}

// texts converts between lists of string kinds; nil stays nil and empty becomes nil.
func texts[To, From ~string](list []From) []To {
	var out []To
	for _, s := range list {
		out = append(out, To(s))
	}
	return out
}

// full returns nil for an empty map: protobuf knows no difference.
func full[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

// Times are whole units since 1970 on the wire; the zero Time is 0 there.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func unixSeconds(t time.Time) int64 { return unixMilli(t) / 1000 }

func milliTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func microTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
