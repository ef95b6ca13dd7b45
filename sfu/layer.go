package sfu

// Layer is a (spatial, temporal) pair, both counted from 0; -1 means none.
type Layer struct{ Spatial, Temporal int8 }

// NoLayer forwards nothing.
var NoLayer = Layer{-1, -1}

// TopLayer is above every layer that exists: a target that never limits.
var TopLayer = Layer{7, 7}

// Valid reports whether the layer names something to forward.
func (l Layer) Valid() bool { return l.Spatial >= 0 && l.Temporal >= 0 }
