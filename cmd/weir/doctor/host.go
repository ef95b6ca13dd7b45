package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	wantBuffer = 16 << 20  // asked for, bytes
	goodBuffer = 5_000_000 // a burst of a large call for some tens of milliseconds
	goodFiles  = 65536
	goodClock  = 5 * time.Second // tokens carry times
)

func hostBuffer(_ context.Context, _ *Subject, p *Probe) []Row {
	got, err := p.Host.ReceiveBuffer(wantBuffer)
	switch {
	case err != nil:
		return skip("the size of socket buffers cannot be seen: %v", err)
	case got < goodBuffer:
		return bad(Warn, "the kernel gives a small receive buffer: bursts of media are dropped", fmt.Sprintf("%d bytes of %d asked for", got, wantBuffer),
			fmt.Sprintf("printf 'net.core.rmem_max = %d\\nnet.core.wmem_max = %d\\n' >/etc/sysctl.d/60-weir.conf && sysctl --system", wantBuffer, wantBuffer))
	}
	return pass("receive buffer of %d bytes", got)
}

func hostLimits(_ context.Context, _ *Subject, p *Probe) []Row {
	n, err := p.Host.OpenFiles()
	switch {
	case err != nil:
		return skip("the limits of this process cannot be seen: %v", err)
	case n < goodFiles:
		return bad(Warn, "few open files are allowed: each client's socket is one", fmt.Sprintf("nofile is %d", n),
			"In the unit: [Service] LimitNOFILE=1048576   # or: ulimit -n 1048576 before the start")
	}
	return pass("%d open files are allowed", n)
}

func hostKernel(_ context.Context, _ *Subject, p *Probe) []Row {
	if missing := p.Host.Kernel(); len(missing) > 0 {
		return bad(Warn, "media takes several times the processor time: the kernel lacks features that the media port uses", "missing: "+strings.Join(missing, ", "),
			"Use Linux 5.10 or later; in a sandbox such as gVisor, run on the host's own network (docker run --network host).")
	}
	return pass("datagrams are sent and received in batches (UDP_SEGMENT, UDP_GRO, SO_REUSEPORT)")
}
