package socket

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"weir/sfu"
	"weir/signalling/grant"
)

// door answers all alike and writes down who was judged.
type door struct {
	says  error
	asked []sfu.Identity
}

func (d *door) Admit(_ context.Context, t grant.Token) error {
	d.asked = append(d.asked, t.Identity)
	return d.says
}

// Whoever comes with a good token is asked about once more, who resumes too; nobody else is.
func TestAdmission(t *testing.T) {
	withdrawn := fmt.Errorf("left the room: %w", ErrNotAdmitted)
	resume := v0()
	resume.Resume, resume.Participant = true, "PA_known"
	for name, c := range map[string]struct {
		says   error
		resume bool
		bad    bool // the token
		status int
		asked  int
	}{
		"holds":               {status: 101, asked: 1},
		"withdrawn":           {says: withdrawn, status: 401, asked: 1},
		"withdrawn, resuming": {says: withdrawn, resume: true, status: 401, asked: 1},
		"not known":           {says: errors.New("homeserver is down"), status: 503, asked: 1},
		"a bad token":         {bad: true, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			d, join := &door{says: c.says}, v0()
			if c.resume {
				join = resume
			}
			w := newWorld(t, Config{Admission: d}, newFocus("call"))
			tok := token(t, nil)
			if c.bad {
				tok += "x"
			}
			p, resp := w.connect("/rtc", query(t, join, tok), nil)
			if (p != nil) != (c.status == 101) || p == nil && resp.StatusCode != c.status || len(d.asked) != c.asked {
				t.Errorf("%+v, asked %d times", resp, len(d.asked))
			}
			if want := c.status; want == 101 || w.get("/rtc/validate", query(t, join, tok)).StatusCode == want {
				return
			}
			t.Error("validate says something else")
		})
	}
}
