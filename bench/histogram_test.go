package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramEdges(t *testing.T) {
	for name, c := range map[string]struct {
		add  []int64
		q    float64
		want time.Duration
	}{
		"empty":           {nil, .5, 0},
		"zero":            {[]int64{0}, .5, 0},
		"one":             {[]int64{1e6}, .99, time.Millisecond},
		"median of three": {[]int64{1e6, 2e6, 3e6}, .5, 2 * time.Millisecond},
		"an hour":         {[]int64{3600e9}, 1, time.Hour},
		"beyond the end":  {[]int64{math.MaxInt64}, .5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var h Histogram
			for _, v := range c.add {
				h.Add(v)
			}
			got := h.Quantile(c.q)
			if name == "beyond the end" { // counted, not lost
				if h.Count() != 1 || h.Max() != math.MaxInt64 || got < time.Hour {
					t.Fatalf("%v", h)
				}
				return
			}
			if off := math.Abs(float64(got - c.want)); off > .07*float64(c.want)+1000 {
				t.Fatalf("quantile %g is %v, want %v", c.q, got, c.want)
			}
		})
	}
}

// FuzzHistogram: quantiles are off by no more than a bucket, and adding in parts is the same as adding at once.
func FuzzHistogram(f *testing.F) {
	f.Add(uint64(1), 100, int64(1e9))
	f.Add(uint64(2), 1, int64(1))
	f.Add(uint64(3), 1000, int64(1e13))
	f.Fuzz(func(t *testing.T, seed uint64, n int, most int64) {
		n, most = n&0x3ff, most&(1<<42-1)
		if n == 0 || most == 0 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		var all, a, b Histogram
		values := make([]int64, n)
		for i := range values {
			values[i] = r.Int64N(most)
			all.Add(values[i])
			if i%2 == 0 {
				a.Add(values[i])
			} else {
				b.Add(values[i])
			}
		}
		joined := a
		joined.Merge(&b)
		if joined != all {
			t.Fatal("parts do not make the whole")
		}
		if rest := joined.Since(&a); rest.Count() != b.Count() || rest.counts != b.counts {
			t.Fatal("what was added since is not the other part")
		}
		slices.Sort(values)
		for _, q := range []float64{0, .5, .95, .99, 1} {
			want := float64(values[min(int(q*float64(n)), n-1)])
			if got := float64(all.Quantile(q)); math.Abs(got-want) > want/16+1000 {
				t.Fatalf("quantile %g of %d is %g, want %g", q, n, got, want)
			}
		}
	})
}

func TestHistogramAllocates(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Add(12345678) }); n != 0 {
		t.Fatalf("%g allocations", n)
	}
}
