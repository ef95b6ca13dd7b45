package session

import (
	"weir/sfu"
)

// letters are those of identifiers: easy to select with a double click, no look-alikes.
const letters = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// word is n random letters.
func (s *Session) word(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[s.rand.IntN(len(letters))]
	}
	return string(b)
}

// publicationID is "TR_", V or A, and a letter for the source (livekit.md section 5).
func (s *Session) publicationID(kind sfu.Kind, source sfu.Source) sfu.PublicationID {
	prefix := "TR_A"
	if kind == sfu.Video {
		prefix = "TR_V"
	}
	switch source {
	case sfu.Camera:
		prefix += "C"
	case sfu.Microphone:
		prefix += "M"
	case sfu.Screen:
		prefix += "S"
	case sfu.ScreenAudio:
		prefix += "s"
	}
	return sfu.PublicationID(prefix + s.word(12))
}

func (s *Session) dataTrackID() sfu.PublicationID {
	return sfu.PublicationID("DTR_" + s.word(12))
}
