// The same calls where the focus moves one datagram for each system call, as on systems without batched ones.
process.env.WEIR_RTC__IO = "plain";
await import("./livekit.test.mjs");
