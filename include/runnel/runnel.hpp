// The everyday vocabulary.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/context.hpp>
#include <runnel/error.hpp>
#include <runnel/go.hpp>
#include <runnel/runtime.hpp>
#include <runnel/select.hpp>
#include <runnel/signal.hpp>
#include <runnel/sync/condition_variable.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/semaphore.hpp>
#include <runnel/sync/wait_group.hpp>
#include <runnel/task_group.hpp>
#include <runnel/time.hpp>
