import { createClient, ClientEvent, SyncState, type MatrixClient, type Room } from "matrix-js-sdk";

/** Where a user is known, and the server that knows it. */
export interface Credentials {
    homeserver: string;
    user: string;
    password: string;
}

/** Logs in with a password, syncs, and returns the running client. */
export async function signIn({ homeserver, user, password }: Credentials): Promise<MatrixClient> {
    const baseUrl = await clientAPI(homeserver);
    const anonymous = createClient({ baseUrl });
    const session = await anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user },
        password,
        initial_device_display_name: "Weir call page",
    });
    const client = createClient({
        baseUrl,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        timelineSupport: false,
    });
    await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: false });
    await synced(client);
    return client;
}

/** Joins the room if need be and returns it once its state is here. */
export async function enter(client: MatrixClient, room: string): Promise<Room> {
    const { roomId } = await client.joinRoom(room);
    const known = client.getRoom(roomId);
    if (known?.getMyMembership() === "join") return known;
    return new Promise((resolve) => {
        const look = (): void => {
            const found = client.getRoom(roomId);
            if (found?.getMyMembership() !== "join") return;
            client.off(ClientEvent.Sync, look);
            resolve(found);
        };
        client.on(ClientEvent.Sync, look);
    });
}

function synced(client: MatrixClient): Promise<void> {
    return new Promise((resolve, reject) => {
        const look = (state: SyncState, _previous: SyncState | null, data?: { error?: Error }): void => {
            if (state === SyncState.Prepared || state === SyncState.Syncing) {
                client.off(ClientEvent.Sync, look);
                resolve();
            } else if (state === SyncState.Error) {
                client.off(ClientEvent.Sync, look);
                reject(data?.error ?? new Error("The homeserver does not answer."));
            }
        };
        client.on(ClientEvent.Sync, look);
    });
}

/** The client API of a homeserver given by URL or by server name (client well-known). */
async function clientAPI(homeserver: string): Promise<string> {
    if (/^https?:\/\//.test(homeserver)) return homeserver.replace(/\/+$/, "");
    try {
        const answer = await fetch(`https://${homeserver}/.well-known/matrix/client`);
        const body = (await answer.json()) as { "m.homeserver"?: { base_url?: string } };
        const url = body["m.homeserver"]?.base_url;
        if (url) return url.replace(/\/+$/, "");
    } catch {
        // No well-known is a fair answer: the name itself is tried.
    }
    return `https://${homeserver}`;
}
