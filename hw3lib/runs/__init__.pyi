from .folder import RunFolder as RunFolder, plain as plain
