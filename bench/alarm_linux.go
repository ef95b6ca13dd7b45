package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kernelAlarm is a timer of the kernel (timerfd_create(2)): it rings within microseconds.
type kernelAlarm struct {
	fd   int
	file *os.File // the same, watched by the runtime
}

// newAlarm gives the most exact alarm there is.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return newTimerAlarm()
	}
	return kernelAlarm{fd, os.NewFile(uintptr(fd), "alarm")}
}

func (a kernelAlarm) set(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))} // 0 would stop it
	_ = unix.TimerfdSettime(a.fd, 0, &at, nil)                          // fails for bad arguments only
}

func (a kernelAlarm) wait() {
	var rings [8]byte
	_, _ = a.file.Read(rings[:])
}

func (a kernelAlarm) close() { _ = a.file.Close() }
