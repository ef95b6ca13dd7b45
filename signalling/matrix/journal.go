package matrix

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"weir/sfu"
	"weir/signalling/delayed"
)

// journal keeps leaves in a file; a nil one keeps nothing. It has one JSON object a line: what is kept now, or not any more.
// It outlives the process, not the machine: nothing is synced, and after a power failure the homeserver's own timers end
// what was lost. The file holds delay ids, which are secrets: only its owner may read it.
type journal struct {
	name  string
	file  *os.File
	lines int // in the file
	log   *slog.Logger
}

// entry is one line. An empty ID says that the leave is not kept any more.
type entry struct {
	Session   string `json:"session"`
	Identity  string `json:"identity"`
	ID        string `json:"delay_id,omitempty"`
	Timeout   int64  `json:"delay_timeout,omitempty"` // ms
	User      string `json:"user,omitempty"`
	Room      string `json:"room,omitempty"`
	Slot      string `json:"slot,omitempty"`
	Restarted int64  `json:"restarted_at,omitempty"` // ms, Unix
}

const (
	// maxLine is above what entries of the longest identifiers take.
	maxLine = 16 << 10
	// slack is how many lines a journal may have beside four for each leave, before it is written anew.
	slack = 1024
)

// openJournal reads what is kept, and begins the file anew with it. Lines that make no sense, as the last one after a
// crash, are passed over.
func openJournal(name string, log *slog.Logger) (*journal, []delayed.Leave, error) {
	kept, err := readJournal(name, log)
	if err != nil {
		return nil, nil, fmt.Errorf("kept leaves: %w", err)
	}
	j := &journal{name: name, log: log}
	if err := j.rewrite(kept); err != nil {
		return nil, nil, fmt.Errorf("kept leaves: %w", err)
	}
	return j, kept, nil
}

func readJournal(name string, log *slog.Logger) ([]delayed.Leave, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, all, bad := map[delayed.Key]int{}, []delayed.Leave{}, 0
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 1024), maxLine)
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil || !e.sane() {
			bad++
			continue
		}
		l := e.leave()
		i, known := at[l.Key]
		if !known {
			i = len(all)
			at[l.Key], all = i, append(all, l)
		}
		all[i] = l
	}
	if lines.Err() != nil || bad > 0 {
		log.Warn("kept leaves that cannot be read are lost: their homeserver ends them in its own time", "code", "leaves_lost", "lines", bad, "err", lines.Err())
	}
	kept := all[:0]
	for _, l := range all {
		if l.ID != "" {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

func (e entry) sane() bool {
	for _, id := range []string{e.Session, e.Identity, e.ID, e.User, e.Room, e.Slot} {
		if len(id) > 4*maxID {
			return false
		}
	}
	const day = 24 * time.Hour
	return e.Session != "" && e.Identity != "" && (e.ID == "" || e.Timeout > 0 && e.Timeout <= day.Milliseconds())
}

func (e entry) leave() delayed.Leave {
	return delayed.Leave{
		Key: delayed.Key{Session: sfu.SessionID(e.Session), Identity: sfu.Identity(e.Identity)},
		ID:  e.ID, Timeout: time.Duration(e.Timeout) * time.Millisecond, User: e.User, Room: e.Room, Slot: e.Slot,
		Restarted: time.UnixMilli(e.Restarted),
	}
}

func entryOf(l delayed.Leave) entry {
	return entry{
		Session: string(l.Session), Identity: string(l.Identity), ID: l.ID, Timeout: l.Timeout.Milliseconds(),
		User: l.User, Room: l.Room, Slot: l.Slot, Restarted: l.Restarted.UnixMilli(),
	}
}

// keep remembers a leave.
func (j *journal) keep(l delayed.Leave) error { return j.write(entryOf(l)) }

// forget says that a leave is not kept any more.
func (j *journal) forget(k delayed.Key) error {
	return j.write(entry{Session: string(k.Session), Identity: string(k.Identity)})
}

func (j *journal) write(e entry) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.lines++
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// long says that most of the file is about leaves that are over.
func (j *journal) long(kept int) bool { return j != nil && j.lines > 4*kept+slack }

// rewrite begins the file anew, so that it is there whole, old or new.
func (j *journal) rewrite(kept []delayed.Leave) error {
	if err := os.MkdirAll(filepath.Dir(j.name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(j.name), ".leaves-*") // mode 0600
	if err != nil {
		return err
	}
	old := *j
	j.file, j.lines = f, 0
	for _, l := range kept {
		err = errors.Join(err, j.keep(l))
	}
	if err == nil {
		err = os.Rename(f.Name(), j.name)
	}
	if err != nil {
		*j = old
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if old.file != nil {
		return old.file.Close()
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
