import { RemoteTrack, LocalTrack, type TrackPublication } from "livekit-client";
import type { Source } from "./call.ts";

type Counters = { bytes: number; at: number };

/** Reads the numbers of the overlay: size, rate, loss, codec, for one source. */
export class StatsReader {
    private readonly last = new Map<string, Counters>();

    async read(source: Source): Promise<string> {
        const lines: string[] = [];
        for (const [kind, publication] of [
            ["video", source.video],
            ["audio", source.audio],
        ] as const) {
            const line = await this.line(kind, publication);
            if (line) lines.push(line);
        }
        return lines.join("\n");
    }

    private async line(kind: string, publication?: TrackPublication): Promise<string | undefined> {
        const track = publication?.track;
        if (!(track instanceof RemoteTrack) && !(track instanceof LocalTrack)) return undefined;
        const report = await track.getRTCStatsReport();
        if (!report) return undefined;
        const parts: string[] = [];
        let bytes = 0;
        report.forEach((s) => {
            if (s.type === "inbound-rtp") {
                bytes += s.bytesReceived;
                if (s.frameWidth) parts.push(`${s.frameWidth}×${s.frameHeight} ${s.framesPerSecond ?? 0} fps`);
                parts.push(`lost ${s.packetsLost}`, `jitter ${Math.round(s.jitter * 1000)} ms`);
                if (s.freezeCount) parts.push(`freezes ${s.freezeCount}`);
            } else if (s.type === "outbound-rtp") {
                bytes += s.bytesSent;
                if (s.frameWidth && s.active !== false) parts.push(`${s.rid ? `${s.rid} ` : ""}${s.frameWidth}×${s.frameHeight}`);
            } else if (s.type === "codec") parts.push(String(s.mimeType).split("/")[1]);
        });
        return `${kind} ${this.rate(publication!.trackSid + kind, bytes)} kb/s · ${parts.join(" · ")}`;
    }

    private rate(key: string, bytes: number): number {
        const at = performance.now();
        const before = this.last.get(key);
        this.last.set(key, { bytes, at });
        if (!before || at === before.at) return 0;
        return Math.max(0, Math.round(((bytes - before.bytes) * 8) / (at - before.at)));
    }
}
