import {
    ExternalE2EEKeyProvider,
    Room as CallRoom,
    VideoPresets,
    type RoomOptions,
} from "livekit-client";
import FrameWorker from "livekit-client/e2ee-worker?worker";
import type { Ticket } from "./focus.ts";

/** Connects to one focus. Frames are encrypted before they leave if there is a password. */
export async function connect(ticket: Ticket, password: string | undefined, prepare: (room: CallRoom) => void): Promise<CallRoom> {
    const options: RoomOptions = {
        adaptiveStream: true,
        dynacast: true,
        publishDefaults: {
            videoCodec: "vp8",
            simulcast: true,
            videoSimulcastLayers: [VideoPresets.h180, VideoPresets.h360],
            dtx: true,
            red: false,
            forceStereo: false,
        },
        videoCaptureDefaults: { resolution: VideoPresets.h720.resolution },
        disconnectOnPageLeave: true,
    };
    if (password !== undefined) options.encryption = { keyProvider: await sharedKey(password), worker: new FrameWorker() };
    const room = new CallRoom(options);
    prepare(room);
    if (password !== undefined) await room.setE2EEEnabled(true);
    await room.connect(ticket.url, ticket.jwt);
    return room;
}

/** Shared-password keys as Element Call derives them (ratchet window 0, tolerance without limit, 16 keys). */
async function sharedKey(password: string): Promise<ExternalE2EEKeyProvider> {
    const provider = new ExternalE2EEKeyProvider({ ratchetWindowSize: 0, failureTolerance: -1, keyringSize: 16 });
    await provider.setKey(password);
    return provider;
}
