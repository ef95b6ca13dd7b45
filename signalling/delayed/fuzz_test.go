package delayed

import (
	"testing"
	"time"

	"weir/sfu"
)

// FuzzJobs plays any script and holds it against what must be true of every one: a leave is never sent while its
// participant is there, nothing is asked for a job that has ended, what is remembered are the jobs there are, and
// when all participants have gone every job ends although the homeserver is never reached.
func FuzzJobs(f *testing.F) {
	f.Add([]byte{0, 1, 8, 2, 16, 3, 24, 9})
	f.Add([]byte{1, 0, 4, 3, 2, 1, 7, 60, 5, 5, 5, 5})
	f.Add([]byte{6, 6, 0, 7, 255, 1, 3, 0, 0, 1, 2, 2, 2})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			return
		}
		j, now := New([32]byte{}), start
		kept, present := map[Key]string{}, map[Key]sfu.ParticipantID{}
		flying := map[Key]uint64{}
		var newest uint64
		do := func(ev Event) {
			for _, e := range j.Handle(now, ev, nil) {
				switch e := e.(type) {
				case Keep:
					kept[e.Leave.Key] = e.Leave.ID
				case Ended:
					delete(kept, e.Leave.Key)
				case Request:
					if e.Serial <= newest {
						t.Fatalf("serial %d after %d", e.Serial, newest)
					}
					newest, flying[e.Leave.Key] = e.Serial, e.Serial
					if kept[e.Leave.Key] != e.Leave.ID {
						t.Fatalf("%s of %v, which is not kept", e.Action, e.Leave.Key)
					}
					if _, here := present[e.Leave.Key]; here && e.Action == Send {
						t.Fatalf("sent although %v is there", e.Leave.Key)
					}
				}
			}
			if n := j.Count(); n[0]+n[1]+n[2] != len(kept) {
				t.Fatalf("%v jobs, %d kept", n, len(kept))
			}
			if at := j.Deadline(); !at.IsZero() && !at.After(now) {
				t.Fatalf("%v is due and not done", at)
			}
		}
		for i := 0; i+1 < len(ops); i += 2 {
			k := Key{"call", sfu.Identity([]string{"ann", "ben"}[ops[i]>>7])}
			pid := sfu.ParticipantID([]string{"PA_1", "PA_2"}[ops[i+1]>>7])
			arg := ops[i+1] & 0x7f
			switch ops[i] & 7 {
			case 0:
				do(Accepted{leave(k, string('a'+rune(arg&3)), time.Duration(arg)*time.Minute+time.Second)})
			case 1:
				present[k] = pid
				do(Arrived{k, pid})
			case 2, 3:
				if present[k] == pid {
					delete(present, k)
				}
				do(Left{k, pid, ops[i]&7 == 3})
			case 4:
				do(Failed{k, arg&1 == 1})
			case 5:
				do(Withdrawn{"!room", "@" + string(k.Identity) + ":hs", now.Add(-time.Duration(arg) * time.Second)})
			case 6:
				do(Answered{Key: k, Serial: flying[k] - uint64(arg>>6), Outcome: Outcome(arg & 3), After: time.Duration(arg>>2) * time.Second})
			case 7:
				now = now.Add(time.Duration(arg) * time.Duration(arg) * 100 * time.Millisecond)
				do(Tick{})
			}
		}
		for k, pid := range present {
			delete(present, k)
			do(Left{Key: k, Participant: pid})
		}
		for end := now.Add(5 * time.Hour); !j.Deadline().IsZero() && j.Deadline().Before(end); {
			now = j.Deadline()
			do(Tick{})
			for k, serial := range flying {
				do(Answered{Key: k, Serial: serial, Outcome: Unreached})
			}
		}
		if len(kept) != 0 {
			t.Fatalf("after five hours %v are left", kept)
		}
	})
}
