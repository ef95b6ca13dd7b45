package doctor

import (
	"net"

	"golang.org/x/sys/unix"
)

// machine is this one.
type machine struct{}

// OpenFiles implements Host.
func (machine) OpenFiles() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Max, err // the Go runtime raises the soft limit to the hard one
}

// ReceiveBuffer implements Host.
func (machine) ReceiveBuffer(want int) (got int, err error) {
	err = control(func(fd int) error {
		// As the media port does: past the limit of the system if that is permitted.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, want); err != nil {
				return err
			}
		}
		got, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	return got, err
}

// Kernel implements Host.
func (machine) Kernel() (missing []string) {
	err := control(func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) != nil {
			missing = append(missing, "SO_REUSEPORT")
		}
		if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
			missing = append(missing, "UDP_SEGMENT (GSO)")
		}
		if unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) != nil {
			missing = append(missing, "UDP_GRO")
		}
		return nil
	})
	if err != nil {
		return []string{"UDP sockets: " + err.Error()}
	}
	return missing
}

// control does something with a UDP socket that nothing arrives at.
func control(do func(fd int) error) error {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	if err == nil {
		err = failed
	}
	return err
}
