package clip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

func TestLoad(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ width, height int }{{320, 180}, {640, 360}, {1280, 720}} {
		v := c.Videos[i]
		if v.Width != want.width || v.Height != want.height || v.FPS != 15 || len(v.Frames) != 60 {
			t.Errorf("video %d: %dx%d, %g fps, %d frames", i, v.Width, v.Height, v.FPS, len(v.Frames))
		}
		for n, f := range v.Frames {
			if f.Keyframe != (n%15 == 0) {
				t.Errorf("video %d frame %d: keyframe %v", i, n, f.Keyframe)
			}
		}
	}
	if c.Audio.Channels != 1 || len(c.Audio.Packets) < 100 {
		t.Errorf("audio: %d channels, %d packets", c.Audio.Channels, len(c.Audio.Packets))
	}
}

// ivf writes a file; edit may spoil it.
func ivf(frames [][]byte, edit func([]byte) []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte("DKIF"), make([]byte, 28)...)
	le.PutUint16(b[6:], 32)
	copy(b[8:], "VP80")
	le.PutUint16(b[12:], 320)
	le.PutUint16(b[14:], 180)
	le.PutUint32(b[16:], 15)
	le.PutUint32(b[20:], 1)
	for _, f := range frames {
		b = le.AppendUint32(b, uint32(len(f)))
		b = le.AppendUint64(b, 0)
		b = append(b, f...)
	}
	if edit != nil {
		b = edit(b)
	}
	return b
}

func TestReadIVF(t *testing.T) {
	put := func(at int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	for name, c := range map[string]struct {
		file   []byte
		frames int
		err    error
	}{
		"empty":              {nil, 0, ErrFormat},
		"no frames":          {ivf(nil, nil), 0, nil},
		"two":                {ivf([][]byte{{0x10, 2}, {0x11}}, nil), 2, nil},
		"empty frame":        {ivf([][]byte{{}}, nil), 1, nil},
		"other codec":        {ivf(nil, put(8, 'V', 'P', '9')), 0, ErrFormat},
		"no rate":            {ivf(nil, put(16, 0)), 0, ErrFormat},
		"no scale":           {ivf(nil, put(20, 0)), 0, ErrFormat},
		"short header":       {ivf(nil, put(6, 31)), 0, ErrFormat},
		"header beyond file": {ivf(nil, put(6, 255, 255)), 0, ErrFormat},
		"cut frame":          {ivf([][]byte{{1, 2, 3}}, func(b []byte) []byte { return b[:len(b)-1] }), 0, ErrTruncated},
		"cut frame header":   {ivf(nil, func(b []byte) []byte { return append(b, 1) }), 0, ErrTruncated},
		"huge frame":         {ivf(nil, func(b []byte) []byte { return append(b, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0) }), 0, ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ReadIVF(c.file)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if len(v.Frames) != c.frames {
				t.Fatalf("%d frames, want %d", len(v.Frames), c.frames)
			}
		})
	}
}

var headers = [][]byte{append([]byte("OpusHead\x01\x01\x00\x00"), 0x80, 0xbb, 0, 0, 0, 0, 0), []byte("OpusTags\x00\x00\x00\x00")}

// ogg writes packets in pages of at most so many segments.
func ogg(packets [][]byte, segments int) []byte {
	var table, body, out []byte
	continued := byte(0)
	page := func() {
		head := append([]byte("OggS\x00"), continued)
		head = append(head, make([]byte, 20)...)
		out = append(append(append(append(out, head...), byte(len(table))), table...), body...)
		continued = 0
		if len(table) > 0 && table[len(table)-1] == 255 {
			continued = oggContinued
		}
		table, body = nil, nil
	}
	for _, p := range packets {
		for {
			n := min(len(p), 255)
			table, body = append(table, byte(n)), append(body, p[:n]...)
			p = p[n:]
			if len(table) == segments {
				page()
			}
			if n < 255 {
				break
			}
		}
	}
	if len(table) > 0 {
		page()
	}
	return out
}

func TestReadOgg(t *testing.T) {
	with := func(p ...[]byte) [][]byte { return append(append([][]byte{}, headers...), p...) }
	long := bytes.Repeat([]byte{7}, 600)
	for name, c := range map[string]struct {
		file    []byte
		packets [][]byte
		err     error
	}{
		"empty":              {nil, nil, ErrFormat},
		"no audio":           {ogg(headers, 255), nil, nil},
		"one page":           {ogg(with([]byte{1}, []byte{2, 3}), 255), [][]byte{{1}, {2, 3}}, nil},
		"a page per segment": {ogg(with([]byte{1}, long, []byte{2}), 1), [][]byte{{1}, long, {2}}, nil},
		"length 255":         {ogg(with(long[:255], long[:510]), 2), [][]byte{long[:255], long[:510]}, nil},
		"no headers":         {ogg([][]byte{{1}, {2}}, 255), nil, ErrFormat},
		"cut body":           {ogg(with([]byte{1, 2}), 255)[:60], nil, ErrTruncated},
		"cut table":          {ogg(headers, 255)[:28], nil, ErrTruncated},
		"ends in a packet":   {ogg(with(long), 1)[:len(ogg(with(long), 1))-(28+90)], nil, ErrTruncated},
		"stranger":           {append(ogg(headers, 255), "RIFF"...), nil, ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ReadOgg(c.file)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if len(a.Packets) != len(c.packets) {
				t.Fatalf("%d packets, want %d", len(a.Packets), len(c.packets))
			}
			for i := range c.packets {
				if !bytes.Equal(a.Packets[i], c.packets[i]) {
					t.Errorf("packet %d: %d bytes, want %d", i, len(a.Packets[i]), len(c.packets[i]))
				}
			}
		})
	}
}

// FuzzReadIVF: a file that is read comes back when it is written again, and no frame leaves the file.
func FuzzReadIVF(f *testing.F) {
	f.Add(ivf([][]byte{{0x10, 2}, {0x11}, {}}, nil))
	f.Add(v180[:2000])
	f.Fuzz(func(t *testing.T, file []byte) {
		v, err := ReadIVF(file)
		if err != nil {
			return
		}
		total := int(binary.LittleEndian.Uint16(file[6:]))
		frames := make([][]byte, 0, len(v.Frames))
		for _, fr := range v.Frames {
			total += ivfFrameHeaderLen + len(fr.Data)
			frames = append(frames, fr.Data)
		}
		if total != len(file) {
			t.Fatalf("%d bytes explained of %d", total, len(file))
		}
		again, err := ReadIVF(ivf(frames, nil))
		if err != nil || len(again.Frames) != len(v.Frames) {
			t.Fatalf("not read again: %v", err)
		}
	})
}

// FuzzReadOgg: the packets that are read survive being written into pages of any size.
func FuzzReadOgg(f *testing.F) {
	f.Add(tone[:3000], byte(1))
	f.Add(ogg(append(append([][]byte{}, headers...), []byte{1}, make([]byte, 255)), 2), byte(3))
	f.Fuzz(func(t *testing.T, file []byte, segments byte) {
		a, err := ReadOgg(file)
		if err != nil {
			return
		}
		again, err := ReadOgg(ogg(append(append([][]byte{}, headers...), a.Packets...), max(1, int(segments))))
		if err != nil || len(again.Packets) != len(a.Packets) {
			t.Fatalf("not read again: %v, %d packets of %d", err, len(again.Packets), len(a.Packets))
		}
		for i := range a.Packets {
			if !bytes.Equal(a.Packets[i], again.Packets[i]) {
				t.Fatalf("packet %d differs", i)
			}
		}
	})
}
