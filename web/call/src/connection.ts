import { Room as CallRoom, VideoPresets, type BaseKeyProvider, type RoomOptions } from "livekit-client";
import FrameWorker from "livekit-client/e2ee-worker?worker";
import type { Ticket } from "./focus.ts";

/** Connects to one focus. Frames are encrypted before they leave if there are keys. */
export async function connect(ticket: Ticket, keys: BaseKeyProvider | undefined, prepare: (room: CallRoom) => void): Promise<CallRoom> {
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
    if (keys) options.encryption = { keyProvider: keys, worker: new FrameWorker() };
    const room = new CallRoom(options);
    prepare(room);
    if (keys) await room.setE2EEEnabled(true);
    await room.connect(ticket.url, ticket.jwt);
    return room;
}
