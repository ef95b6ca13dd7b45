import { RemoteTrack, type Participant } from "livekit-client";

interface Suspect {
    participant: Participant;
    /** No key came at all; else one came and does not fit. */
    missing: boolean;
    /** What was decoded when last looked; undefined before the first look. */
    decoded?: number;
    sealed: boolean;
}

/** How often it is looked whether something of a suspect is decoded, in milliseconds. */
const patience = 1000;

/**
 * Whose media no key of ours opens. One frame that failed says little, since a frame may overtake its key: sealed is
 * who failed and of whom nothing is decoded after that either.
 */
export class Sealed {
    private readonly suspects = new Map<string, Suspect>();
    private readonly timer: ReturnType<typeof setInterval>;

    constructor(private readonly changed: () => void) {
        this.timer = setInterval(() => void this.look(), patience);
    }

    /** A frame of a participant could not be decrypted. */
    failed(participant: Participant, error: Error): void {
        const known = this.suspects.get(participant.identity);
        this.suspects.set(participant.identity, {
            ...(known ?? { sealed: false }),
            participant,
            missing: error.message.startsWith("MissingKey"), // the frame worker hands on the reason's name and the text
        });
    }

    /** Why nothing of this participant is decrypted; undefined if something is. */
    why(identity: string): "missing" | "wrong" | undefined {
        const suspect = this.suspects.get(identity);
        if (!suspect?.sealed) return undefined;
        return suspect.missing ? "missing" : "wrong";
    }

    forget(identity: string): void {
        if (this.suspects.delete(identity)) this.changed();
    }

    close(): void {
        clearInterval(this.timer);
    }

    private async look(): Promise<void> {
        for (const [identity, suspect] of this.suspects) {
            const decoded = await decodedOf(suspect.participant);
            const before = suspect.decoded;
            suspect.decoded = decoded;
            if (before === undefined) continue;
            if (decoded > before) this.forget(identity);
            else if (!suspect.sealed) {
                suspect.sealed = true;
                this.changed();
            }
        }
    }
}

/** Pictures and sound of a participant that came through decryption, in frames and samples. */
async function decodedOf(participant: Participant): Promise<number> {
    let sum = 0;
    for (const { track } of participant.trackPublications.values()) {
        if (!(track instanceof RemoteTrack)) continue;
        (await track.getRTCStatsReport())?.forEach((s) => {
            if (s.type !== "inbound-rtp") return;
            // Frames that the worker dropped are concealed: of those samples the sound is made up.
            sum += s.kind === "video" ? (s.framesDecoded ?? 0) : Math.max(0, (s.totalSamplesReceived ?? 0) - (s.concealedSamples ?? 0));
        });
    }
    return sum;
}
