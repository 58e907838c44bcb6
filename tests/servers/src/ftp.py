# An FTP server of pyftpdlib: arguments are its port, its folder, who signs in and the kind of TLS.
# Ready when its greeting holds the folder's name. USR1 cuts all connections, as a broken line does.
import signal
import sys

from pyftpdlib import ioloop
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

port, folder, token, user, password, security = sys.argv[1:]


class Handler(TLS_FTPHandler):
    certfile = folder + "/server.pem"
    banner = token
    authorizer = DummyAuthorizer()
    tls_control_required = security != "off"
    tls_data_required = security != "off"
    auth_failed_timeout = 0.1
    # Some networks lie about where they are.
    masquerade_address = "192.0.2.1"


Handler.authorizer.add_user(user, password, folder + "/data", perm="elradfmwMT")
server = FTPServer(("127.0.0.1", int(port)), Handler)
server.max_cons = 0
server.max_cons_per_ip = 0


def cut(*_):
    for held in list(ioloop.IOLoop.instance().socket_map.values()):
        if held is not server:
            held.close()


signal.signal(signal.SIGUSR1, cut)
server.serve_forever()
